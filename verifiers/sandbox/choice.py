"""Which sandbox works on this machine, found out by running something in it."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.docker_image import BUILD_COMMAND, is_ready
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.engine import Engine
from verifiers.sandbox.protocol import Availability, Isolation, Job, Limits, Sandbox, Trial
from verifiers.sandbox.seccomp import machines

_RETRY_AFTER_S = 60.0  # a machine that said no may have been repaired, or out of memory
_PROBE = Job(program="def double(x):\n    return 2 * x\n", tests="assert double(21) == 42")
_PROBE_LIMITS = Limits(cpu_s=10.0, wall_s=60.0)
_WORKS = Availability(ok=True)
_NAMES = ("auto", "bubblewrap", "docker", "docker-container")
_SWITCHES = (  # (kernel switch, value that forbids user namespaces, command that allows them)
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)


def default_engine() -> Engine:
    """Connect to the engine that the environment names, with the runtime that MERGEREASONER_DOCKER_RUNTIME names.

    Raises:
        SandboxUnavailableError: There is none.
    """
    return Engine(runtime=os.environ.get("MERGEREASONER_DOCKER_RUNTIME") or None)


class SandboxFinder:
    """Finds a sandbox that works, and remembers.

    Docker is taken where an engine answers and has our image, else bubblewrap.

    Args:
        binaries: Where bubblewrap may be.
        wanted: The one sandbox to use: ``bubblewrap``, ``docker`` or ``docker-container``; ``auto`` for the first
            that works; by default what MERGEREASONER_SANDBOX says when the first sandbox is asked for.
        engine: Connects to the Docker engine.
    """

    def __init__(
        self,
        binaries: Callable[[], list[Path]] = bubblewrap_binaries,
        *,
        wanted: str | None = None,
        engine: Callable[[], Engine] = default_engine,
    ) -> None:
        self._binaries = binaries
        self._wanted = wanted
        self._engine = engine
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._availability = Availability(ok=False)
        self._asked_at = -float("inf")

    def find(self) -> tuple[Sandbox | None, Availability]:
        """Return a sandbox that ran a program here, or None and why there is none.

        A success is remembered for good: if that sandbox fails later it is an error, not an abstention.
        """
        with self._lock:
            if self._sandbox is None and time.monotonic() - self._asked_at > _RETRY_AFTER_S:
                self._sandbox, self._availability = self._probe()
                self._asked_at = time.monotonic()
            return self._sandbox, self._availability

    def found(self) -> Sandbox | None:
        """Return the sandbox that was found before, without looking for one."""
        return self._sandbox

    def _probe(self) -> tuple[Sandbox | None, Availability]:
        wanted = self._wanted or os.environ.get("MERGEREASONER_SANDBOX") or "auto"
        if wanted not in _NAMES:
            reason = f"MERGEREASONER_SANDBOX is {wanted!r}"
            return None, Availability(ok=False, reason=reason, fix=f"set it to one of {', '.join(_NAMES)}")
        if wanted != "bubblewrap":
            isolation = Isolation.CONTAINER if wanted == "docker-container" else Isolation.PROCESS
            sandbox, availability = self._try_docker(isolation)
            if sandbox is not None or wanted != "auto":
                return sandbox, availability
        return self._probe_bubblewrap()

    def _try_docker(self, isolation: Isolation) -> tuple[Sandbox | None, Availability]:
        try:
            engine = self._engine()
            if not is_ready(engine):
                reason = "the Docker engine has no image of this version"
                return None, Availability(ok=False, reason=reason, fix=BUILD_COMMAND)
            sandbox = DockerSandbox(engine, isolation=isolation)
            try:
                trial = sandbox.run(_PROBE, _PROBE_LIMITS)
            except SandboxUnavailableError:
                sandbox.close()
                raise
        except SandboxUnavailableError as error:
            return None, Availability(
                ok=False, reason=str(error), fix="start a Docker engine, or set DOCKER_HOST"
            )
        if _passed(trial):
            return sandbox, _WORKS
        sandbox.close()
        reason = f"a trivial program did not pass in a container: {_last_words(trial)}"
        return None, Availability(ok=False, reason=reason, fix=BUILD_COMMAND)

    def _probe_bubblewrap(self) -> tuple[Sandbox | None, Availability]:
        if sys.platform != "linux":
            reason = f"programs are only run in a sandbox, and there is none for {platform.system()} yet"
            return None, Availability(ok=False, reason=reason, fix="run the verification worker on Linux")
        if platform.machine() not in machines():
            reason = f"there is no system call filter for {platform.machine()}"
            return None, Availability(ok=False, reason=reason, fix=f"use one of {', '.join(machines())}")
        return self._try_binaries()

    def _try_binaries(self) -> tuple[Sandbox | None, Availability]:
        reasons: list[str] = []
        try:
            for binary in self._binaries():
                try:
                    sandbox = BubblewrapSandbox(binary)
                    trial = sandbox.run(_PROBE, _PROBE_LIMITS)
                except SandboxUnavailableError as error:
                    reasons.append(str(error))
                    continue
                if _passed(trial):
                    return sandbox, _WORKS
                sandbox.close()
                reasons.append(f"a trivial program did not pass in it: {_last_words(trial)}")
        except SandboxUnavailableError as error:
            reasons.append(str(error))
        if not reasons:
            fix = (
                "sudo apt-get install bubblewrap"  # the wheel is part of the installation where there is one
            )
            return None, Availability(
                ok=False, reason="there is no bubblewrap (bwrap) on this machine", fix=fix
            )
        return None, Availability(ok=False, reason=" ".join(reasons[0].split())[:500], fix=_fix())


def _passed(trial: Trial) -> bool:
    return trial.report is not None and trial.report.get("outcome") == "confirmed"


def _last_words(trial: Trial) -> str:
    return (trial.judged.stderr or trial.judge.stderr).strip().rpartition("\n")[2]


def _fix() -> str:
    """Return the command that removes what most likely keeps bubblewrap from working here."""
    for name, forbidding, setting in _SWITCHES:
        try:
            value = (Path("/proc/sys") / name).read_text().strip()
        except OSError:
            continue
        if value == forbidding:
            return f"sudo sysctl -w {setting}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "start this container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        )
    return "allow unprivileged user namespaces: sudo sysctl -w user.max_user_namespaces=15000"
