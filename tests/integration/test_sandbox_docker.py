"""Docker containers as a sandbox: two levels of isolation, no container left over, an engine that dies and returns."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.waiting import until
from verifiers.code.reading import outcome_of
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox import engine as engine_module
from verifiers.sandbox.choice import SandboxFinder
from verifiers.sandbox.docker_image import build
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.engine import IMAGE, Engine
from verifiers.sandbox.protocol import Isolation, Job, Limits, Trial

pytestmark = [pytest.mark.sandbox, pytest.mark.docker]

JOB = Job(program="def f(x):\n    return x * x\n", tests="assert f(2) == 4")
LIMITS = Limits(cpu_s=2, wall_s=20)
LABEL = "merge-reasoner.sandbox=1"


@pytest.fixture
def engine(docker_engine: Engine) -> Engine:
    return docker_engine


@pytest.fixture(scope="module")
def sandbox(docker_engine: Engine) -> Iterator[DockerSandbox]:
    made = DockerSandbox(docker_engine)
    yield made
    made.close()


def confirmed(trial: Trial) -> bool:
    return trial.report is not None and trial.report["outcome"] == "confirmed"


def containers(engine: Engine) -> set[str]:
    found = engine._client.api.containers(all=True, filters={"label": LABEL})
    return {container["Id"] for container in found}


def test_a_container_serves_many_claims_and_none_is_left_at_the_end(engine: Engine) -> None:
    before = containers(engine)
    sandbox = DockerSandbox(engine)
    assert confirmed(sandbox.run(JOB, LIMITS))
    first = containers(engine) - before
    assert len(first) == 1  # for both judge and judged
    assert confirmed(sandbox.run(JOB, LIMITS))
    assert containers(engine) - before == first
    sandbox.close()
    until(lambda: not first & containers(engine), "its containers are gone")


def test_a_container_of_its_own_serves_one_claim(engine: Engine) -> None:
    sandbox = DockerSandbox(engine, isolation=Isolation.CONTAINER, max_lanes=2)
    tests = "assert open('/proc/1/stat').read().split()[21] == f()"  # when the first process was born
    try:
        texts = set()
        for _ in range(2):
            trial = sandbox.run(Job(program="def f(): return 0", tests=tests), LIMITS)
            assert trial.report is not None
            texts.add(trial.report["reason"])
        assert len(texts) == 2  # another first process each time
    finally:
        sandbox.close()


def test_more_claims_than_lanes_wait_for_their_turn(engine: Engine) -> None:
    before = containers(engine)
    sandbox = DockerSandbox(engine, max_lanes=1)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: confirmed(sandbox.run(JOB, LIMITS)), range(16)))
    assert len(containers(engine) - before) == 1
    sandbox.close()


def test_containers_of_a_killed_worker_end_with_it(engine: Engine) -> None:
    before = containers(engine)
    code = """
import sys, time
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.engine import Engine
from verifiers.sandbox.protocol import Job, Limits
DockerSandbox(Engine()).run(Job(program="def f(x): return x", tests="assert f(1) == 1"), Limits(cpu_s=2, wall_s=20))
print("ready", flush=True)
time.sleep(1000)
"""
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    made = containers(engine) - before
    assert len(made) == 1
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    until(lambda: not made & containers(engine), "its containers are gone")


def test_a_container_whose_owner_is_dead_is_swept_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = engine_module.owner()
    dead = "/".join(
        [*ours.split("/")[:-1], "1"]
    )  # our number, but another birth: a process that was there before us
    living = engine.start(IMAGE, "import sys; sys.stdin.read()", LIMITS)
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "owner", lambda: dead)
        leaked = engine.start(IMAGE, "import sys; sys.stdin.read()", LIMITS)
    assert engine.sweep() == 1
    names = {name for found in engine._client.api.containers() for name in found["Names"]}
    assert f"/{living.name}" in names
    assert f"/{leaked.name}" not in names
    living.remove()
    leaked.remove()


HUNGRY = "def f(x):\n    held = b'1' * x\n    return len(held)"
FILLING = "def f(x):\n    open('/tmp/a', 'wb').write(bytes(x))\n    return x"
FORKING = """
import os, time
def f(x):
    for _ in range(x):
        if os.fork() == 0:
            time.sleep(1000)
    return x
"""


@pytest.mark.parametrize(
    ("program", "amount", "small", "word"),
    [
        (HUNGRY, 300 << 20, {"memory_bytes": 64 << 20}, "memory"),
        (FILLING, 6 << 20, {"scratch_bytes": 4 << 20}, "No space left"),
        (FORKING, 20, {"n_processes": 16}, "Resource temporarily unavailable"),
    ],
    ids=["memory", "scratch folder", "processes"],
)
def test_a_claim_gets_the_limits_that_it_was_given(
    sandbox: DockerSandbox, program: str, amount: int, small: dict[str, int], word: str
) -> None:
    job = Job(program=program, tests=f"assert f({amount}) == {amount}")
    assert confirmed(sandbox.run(job, LIMITS))
    limits = replace(LIMITS, **small)
    trial = sandbox.run(job, limits)
    assert word in outcome_of(trial, limits)[1]
    assert confirmed(sandbox.run(JOB, limits))
    assert confirmed(sandbox.run(job, LIMITS))


def test_no_more_containers_are_kept_than_lanes_whatever_their_sizes(engine: Engine) -> None:
    before = containers(engine)
    sandbox = DockerSandbox(engine, max_lanes=2)
    for n in range(1, 5):
        assert confirmed(sandbox.run(JOB, replace(LIMITS, n_processes=8 * n)))
    assert len(containers(engine) - before) <= 2
    sandbox.close()


def test_the_program_sees_nothing_that_the_engine_puts_into_a_container(sandbox: DockerSandbox) -> None:
    program = """
import os, socket
def f(): return [path for path in ("/proc", "/sys", "/etc", "/.dockerenv", "/run") if os.path.exists(path)]
def name(): return socket.gethostname()
"""
    tests = "assert (f(), name()) == ([], 'sandbox')"
    assert confirmed(sandbox.run(Job(program=program, tests=tests), LIMITS))


def test_the_tests_see_neither_name_servers_nor_names_of_the_host(sandbox: DockerSandbox) -> None:
    tests = """
import socket
text = open("/etc/resolv.conf").read() + open("/etc/hosts").read() + open("/etc/hostname").read()
assert text.split() == ["sandbox"] * f()
assert socket.gethostname() == "sandbox"
"""
    trial = sandbox.run(Job(program="def f(): return 1", tests=tests), LIMITS)
    assert trial.report is not None
    assert trial.report["outcome"] == "confirmed", trial.report["reason"]


@pytest.mark.parametrize(
    "look",
    [
        "[p for p in range(1, 100) if p != os.getpid() and not refused(os.kill, p, 0)]",
        "[p for p in range(1, 100) if p != os.getpid() and not refused(os.setpriority, os.PRIO_PROCESS, p, 19)]",
        "[p for p in range(1, 100) if p != os.getpid() and not refused(os.sched_setaffinity, p, [0])]",
        "[p for p in range(1, 100) if p != os.getpid() and not refused(resource.prlimit, p, resource.RLIMIT_CPU)]",
        "[] if refused(os.chroot, '/tmp') else ['chroot']",
        "[] if refused(os.listdir, '/room') and refused(os.listdir, '/../room') else ['room']",
        "[name for name in os.listdir('/tmp')]",
    ],
)
def test_the_judged_has_no_hold_on_the_judge_in_its_container(sandbox: DockerSandbox, look: str) -> None:
    program = f"""
import os, resource
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return True
    return False
def f(): return {look}
"""
    tests = "open('/tmp/of-the-judge', 'w').write('4')\nassert f() == []"
    trial = sandbox.run(Job(program=program, tests=tests), LIMITS)
    assert trial.report is not None
    assert trial.report["outcome"] == "confirmed", trial.report["reason"]


def test_a_runtime_that_is_not_installed_is_an_error_and_no_verdict(engine: Engine) -> None:
    with pytest.raises(SandboxUnavailableError, match="runsc-not-here"):
        DockerSandbox(Engine(runtime="runsc-not-here")).run(JOB, LIMITS)


IN_GVISOR = {
    "right": ("def f(x): return x * x", "confirmed", "passed"),
    "wrong": ("def f(x): return x + x", "refuted", "left 6, right 9"),
    "exits": ("import os\ndef f(x): os._exit(0)", "refuted", "exit code 0"),
    "kills": ("import os\ndef f(x): os.kill(os.getpid(), 9)", "refuted", "SIGKILL"),
    "loops": ("def f(x):\n    while True: pass", "refuted", "CPU time"),
    "takes 2 GB": ("def f(x): return len(bytearray(2 << 30))", "refuted", "MemoryError"),
    "fills the disk": (
        "def f(x):\n    for n in range(50):\n        open(f'/tmp/{n}', 'wb').write(b'x' * 4_000_000)\n    return 4",
        "refuted",
        "No space left",
    ),
    "opens a socket": ("import socket\ndef f(x): socket.socket()", "refuted", "not supported"),
    "reads the judge": ("def f(x): return open('/proc/1/environ').read()", "refuted", "No such file"),
}


def test_gvisor_judges_as_the_usual_runtime_does(engine: Engine) -> None:
    if "runsc" not in engine._client.info()["Runtimes"]:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("the engine has no runtime runsc")
        pytest.skip("the engine has no runtime runsc (gVisor)")
    limits = Limits(cpu_s=2, wall_s=60)
    sandbox = DockerSandbox(Engine(runtime="runsc"), max_lanes=1)
    try:
        for name, (program, outcome, reason) in IN_GVISOR.items():
            job = Job(program=program, tests="assert f(2) == 4\nassert f(3) == 9")
            found = outcome_of(sandbox.run(job, limits), limits)
            assert found[0] == outcome, (name, found)
            assert reason in found[1], (name, found)
            assert confirmed(sandbox.run(JOB, limits))
    finally:
        sandbox.close()


def test_docker_is_chosen_where_an_engine_has_the_image(engine: Engine) -> None:
    sandbox, availability = SandboxFinder(wanted="auto").find()
    assert availability.ok
    assert isinstance(sandbox, DockerSandbox)
    sandbox.close()


def test_bubblewrap_is_chosen_where_no_engine_answers(tmp_path: Path) -> None:
    finder = SandboxFinder(wanted="auto", engine=lambda: Engine(f"unix://{tmp_path}/none"))
    sandbox, availability = finder.find()
    assert availability.ok
    assert sandbox is not None
    assert sandbox.kind == "bubblewrap"
    sandbox.close()


def test_what_was_asked_for_is_not_replaced_by_something_else(tmp_path: Path) -> None:
    finder = SandboxFinder(wanted="docker", engine=lambda: Engine(f"unix://{tmp_path}/none"))
    sandbox, availability = finder.find()
    assert sandbox is None
    assert "no Docker engine" in availability.reason


class OwnEngine:
    """A dockerd that a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/docker.sock"
        self._folder = folder
        self.start()

    def start(self) -> None:
        folder = self._folder
        # What a killed engine leaves: it would take whoever has the number now for its own containerd, and wait for it.
        for name in ("pid", "exec/containerd/containerd.pid"):
            (folder / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *(
                    "dockerd",
                    "--host",
                    self.url,
                    "--data-root",
                    f"{folder}/data",
                    "--exec-root",
                    f"{folder}/exec",
                ),
                *("--pidfile", f"{folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, "the engine answers")

    def _answers(self) -> bool:
        try:
            Engine(self.url).close()
        except SandboxUnavailableError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


@pytest.fixture
def own_engine() -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("a Docker engine to kill needs root and dockerd")
        pytest.skip("a Docker engine to kill needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="mr-dockerd-"))
    made = OwnEngine(folder)
    yield made
    made.stop()
    mounted = [
        line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line
    ]
    for path in sorted(mounted, reverse=True):
        subprocess.run(["umount", path], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_an_engine_that_stops_or_is_killed_and_returns_is_survived(own_engine: OwnEngine) -> None:
    engine = Engine(own_engine.url)
    build(engine)
    sandbox = DockerSandbox(engine)
    assert confirmed(sandbox.run(JOB, LIMITS))
    for number in (signal.SIGTERM, signal.SIGKILL):
        own_engine.stop(number)
        with pytest.raises(SandboxUnavailableError):
            sandbox.run(JOB, LIMITS)
        own_engine.start()
        assert confirmed(sandbox.run(JOB, LIMITS))
    sandbox.close()
    until(
        lambda: not containers(engine), "no container is left"
    )  # those that the killed engine had left among them
