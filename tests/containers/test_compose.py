"""compose.yaml's CPU profile, really built and run: submitted through a container, decided by containers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.waiting import until
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
BASE = "merge-reasoner-test/python:bookworm"
WORKERS = ("generate-cpu", "verify", "verify-code", "control", "beat")
N_TASKS = 20
PATIENCE_S = 240.0


def missing() -> str | None:
    """Return what this machine lacks, if anything."""
    for program in ("docker-compose", "debootstrap", "docker"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.geteuid() != 0:
        return "debootstrap needs root"
    try:
        Engine()
    except SandboxUnavailableError as error:
        return str(error)
    return None


class Stack:
    """One project of docker-compose, with secrets, ports and data of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        ports = free_ports(7)
        subprocess.run([ROOT / "docker" / "secrets"], cwd=folder, check=True, capture_output=True)
        secrets = folder / "secrets"
        for name, host, port in (
            ("database_url", "postgres:5432", ports[0]),
            ("broker_url", "broker:6379", ports[1]),
        ):
            text = (secrets / name).read_text()
            (secrets / name).write_text(text.replace(f"@{host}", f"@127.0.0.1:{port}"))
        self.environment = {
            **os.environ,
            "TAG": "test",
            "BASE_IMAGE": BASE,
            "PIP_ARGS": "--no-index --find-links=/src/wheels",
            "MERGEREASONER_ENGINE": "replay",
            "SECRETS": str(secrets),
            "DATA": str(self.data),
            "POSTGRES_PORT": str(ports[0]),
            "BROKER_PORT": str(ports[1]),
            **{f"METRICS_PORT_{i}": str(port) for i, port in enumerate(ports[2:], start=1)},
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }
        self.metrics_ports = ports[2:]

    def compose(self, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        files = ["-f", "compose.yaml", "-f", "tests/containers/overlay.yaml", "--project-directory", "."]
        return subprocess.run(
            ["docker-compose", *files, "-p", "merge-reasoner-test", "--profile", "cpu", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        done = self.compose(*arguments)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        return self.compose("logs", "--tail=15").stdout[-6000:]

    def health(self, service: str) -> str:
        container = self.must("ps", "-q", service).strip()
        template = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        return subprocess.run(
            ["docker", "inspect", "-f", template, container],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def wheels() -> Iterator[None]:
    """What the image installs, fetched beside the Dockerfile, since its build has no network here."""
    folder = ROOT / ".wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "-d", str(folder)]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements" / "production.txt")]
    subprocess.run([*pip, *locked], check=True, capture_output=True)
    # Debian's 3.11.2 wants it, this interpreter may be a younger 3.11.
    subprocess.run([*pip, "--no-deps", "async-timeout==5.0.1"], check=True, capture_output=True)
    yield
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, wheels: None) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("compose"))
    known = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False)
    if known.returncode != 0:
        subprocess.run([ROOT / "tests" / "containers" / "base-image", BASE], check=True, capture_output=True)
    write_tasks(made.data)
    try:
        made.must("build", "postgres")
        made.must("up", "-d", "--no-build")
        yield made
    finally:
        made.compose("down", "-v", "--remove-orphans", "-t", "20")


@pytest.fixture(scope="module", autouse=True)
def _needs_an_engine() -> None:
    lack = missing()
    if lack is not None:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(lack)


def write_tasks(folder: Path) -> None:
    program = "def double(x):\n    return 2 * x\n"
    with (folder / "tasks.jsonl").open("w") as tasks, (folder / "chains.jsonl").open("w") as chains:
        for i in range(N_TASKS):
            prompt = f"What is {i} + 1?"
            line = {"custom_id": f"t{i}", "kind": "math", "prompt": prompt, "options": {"k": 4}}
            tasks.write(json.dumps(line) + "\n")
            recorded = [{"text": rf"\boxed{{{i + 1}}}", "logprob": -1.0, "n_tokens": 3}] * 4
            chains.write(json.dumps({"prompt": prompt, "chains": recorded}) + "\n")
        spec = {"verifier": "code", "tests": "assert double(2) == 4"}
        code = {
            "custom_id": "code",
            "kind": "code",
            "prompt": "Double.",
            "candidates": [program],
            "verify": [spec],
        }
        tasks.write(json.dumps(code) + "\n")


def wait_until_healthy(stack: Stack) -> None:
    deadline = time.monotonic() + PATIENCE_S
    waiting = list(WORKERS)
    while waiting:
        waiting = [service for service in waiting if stack.health(service) != "running healthy"]
        assert time.monotonic() < deadline, f"{waiting} not healthy\n{stack.logs()}"
        time.sleep(1.0)


def test_the_stack_decides_what_is_submitted_to_it(stack: Stack) -> None:
    wait_until_healthy(stack)
    out = stack.must("run", "--rm", "-T", "submit", "tasks.jsonl", "--wait", "--json")
    last = json.loads(out.strip().splitlines()[-1])
    assert last["states"] == {"answered": N_TASKS + 1}, f"{out}\n{stack.logs()}"


def test_its_workers_tell_their_numbers(stack: Stack) -> None:
    def told() -> str:
        text = ""
        for port in stack.metrics_ports[:-1]:  # beat has none
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                text += answer.read().decode()
        return text

    for number in (
        f'merge_reasoner_decisions_total{{state="answered"}} {N_TASKS + 1:.1f}',
        'merge_reasoner_verdicts_total{outcome="confirmed",verifier="code"} 1.0',
        "merge_reasoner_database_up 1.0",
    ):  # they count what they have written, a moment after it can be read
        until(lambda number=number: number in told(), number)  # type: ignore[misc]


def test_its_containers_are_closed(stack: Stack) -> None:
    for service in WORKERS:
        container = stack.must("ps", "-q", service).strip()
        (facts,) = json.loads(
            subprocess.run(
                ["docker", "inspect", container], env=stack.environment, capture_output=True, check=True
            ).stdout
        )
        assert facts["Config"]["User"] == "10001:10001"
        assert facts["HostConfig"]["ReadonlyRootfs"] is True
        assert facts["HostConfig"]["CapDrop"] == ["ALL"]
        assert not [v for v in facts["Config"]["Env"] if v.startswith(("DATABASE_URL=", "BROKER_URL="))]
