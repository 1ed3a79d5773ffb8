"""Docker containers as a sandbox: two levels of isolation, no container left over, an engine that dies and returns."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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


def confirmed(trial: Trial) -> bool:
    return trial.report is not None and trial.report["outcome"] == "confirmed"


def containers(engine: Engine) -> set[str]:
    found = engine._client.api.containers(all=True, filters={"label": LABEL})
    return {container["Id"] for container in found}


def eventually(true: Callable[[], bool]) -> bool:
    for _ in range(300):
        if true():
            return True
        time.sleep(0.1)
    return False


def test_a_container_serves_many_claims_and_none_is_left_at_the_end(engine: Engine) -> None:
    before = containers(engine)
    sandbox = DockerSandbox(engine)
    assert confirmed(sandbox.run(JOB, LIMITS))
    first = containers(engine) - before
    assert len(first) == 1  # for both judge and judged
    assert confirmed(sandbox.run(JOB, LIMITS))
    assert containers(engine) - before == first
    sandbox.close()
    assert eventually(lambda: not first & containers(engine))


def test_a_container_of_its_own_serves_one_claim(engine: Engine) -> None:
    sandbox = DockerSandbox(engine, isolation=Isolation.CONTAINER, max_lanes=2)
    host = "import os\ndef f(): return os.stat('/proc/1').st_ino, open('/proc/1/stat').read().split()[21]"
    try:
        texts = set()
        for _ in range(2):
            trial = sandbox.run(Job(program=host, tests="assert f() == 0"), LIMITS)
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
    assert eventually(lambda: not made & containers(engine))


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


def test_a_runtime_that_is_not_installed_is_an_error_and_no_verdict(engine: Engine) -> None:
    with pytest.raises(SandboxUnavailableError, match="runsc-not-here"):
        DockerSandbox(Engine(runtime="runsc-not-here")).run(JOB, LIMITS)


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
        assert eventually(self._answers)

    def _answers(self) -> bool:
        try:
            Engine(self.url).close()
        except SandboxUnavailableError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
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


def test_an_engine_that_dies_and_returns_is_survived(own_engine: OwnEngine) -> None:
    engine = Engine(own_engine.url)
    build(engine)
    sandbox = DockerSandbox(engine)
    assert confirmed(sandbox.run(JOB, LIMITS))
    own_engine.stop()
    with pytest.raises(SandboxUnavailableError):
        sandbox.run(JOB, LIMITS)
    own_engine.start()
    assert confirmed(sandbox.run(JOB, LIMITS))
    sandbox.close()
