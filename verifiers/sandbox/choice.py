"""Which sandbox works on this machine, found out by running something in it."""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.protocol import Availability, Job, Limits, Sandbox
from verifiers.sandbox.seccomp import machines

_RETRY_AFTER_S = 60.0  # a machine that said no may have been repaired, or out of memory
_PROBE = Job(program="def double(x):\n    return 2 * x\n", tests="assert double(21) == 42")
_PROBE_LIMITS = Limits(cpu_s=10.0, wall_s=60.0)
_SWITCHES = (  # (kernel switch, value that forbids user namespaces, command that allows them)
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)


class SandboxFinder:
    """Finds a sandbox that works, and remembers."""

    def __init__(self, binaries: Callable[[], list[Path]] = bubblewrap_binaries) -> None:
        self._binaries = binaries
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

    def _probe(self) -> tuple[Sandbox | None, Availability]:
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
                if trial.report is not None and trial.report.get("outcome") == "confirmed":
                    return sandbox, Availability(ok=True)
                said = (trial.judged.stderr or trial.judge.stderr).strip().rpartition("\n")[2]
                reasons.append(f"a trivial program did not pass in it: {said}")
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
