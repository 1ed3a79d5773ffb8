"""A long-lived bubblewrap with a preloaded Python in it, which forks one confined process after another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S, Builder, Cell, await_child, spawn
from verifiers.sandbox.cgroups import ControlGroup
from verifiers.sandbox.lanes import MAX_AGE_S
from verifiers.sandbox.protocol import Limits
from verifiers.sandbox.seccomp import filter_program
from verifiers.sandbox.waiting import readable

_OWN_BYTES = 32 * 1024 * 1024  # what the preloaded Python itself may use, beside the claim
_OWN_PROCESSES = 2
_KILL_TIMEOUT_S = 30.0  # for the kernel to end everything of a claim
_INODE_BYTES = 4096  # one file of the scratch folder for so many of its bytes


class Station:
    """One bubblewrap, its preloaded Python, and the control group of both; serves one claim at a time."""

    def __init__(self, builder: Builder, module: str, limits: Limits) -> None:
        """Start it.

        Raises:
            SandboxUnavailableError: It did not start.
        """
        self.began = time.monotonic()
        self.n_claims = 0
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        info_out, info_in = os.pipe()
        # Of its own user namespace: what a fork into namespaces needs, and what giving up capabilities for good needs.
        options = ("--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP")
        code = (
            "from verifiers.sandbox.inside.forker import main; "
            f"main({far.fileno()}, {module!r}, {filter_program().hex()!r})"
        )
        command = [*builder.command(limits.scratch_bytes, *options, info_fd=info_in), "-c", code]
        try:
            self._process = spawn(command, [far.fileno(), info_in])
        except OSError as error:
            os.close(info_out)
            self._control.close()
            raise SandboxUnavailableError(f"bubblewrap cannot be started: {error}") from error
        finally:
            far.close()
            os.close(info_in)
        self.group = ControlGroup(
            memory_bytes=limits.memory_bytes + _OWN_BYTES, n_processes=limits.n_processes + _OWN_PROCESSES
        )
        try:
            pid, pidfd = await_child(self._process, info_out)
            os.close(pidfd)
            self.group.add(pid)
            self.hear("up")
        except SandboxUnavailableError:
            self.close()
            raise

    def begin(self, numbers: Sequence[int], fds: Sequence[int]) -> None:
        """Have a claim's process forked, with these descriptors.

        Raises:
            SandboxUnavailableError: The station is gone.
        """
        self.n_claims += 1
        try:
            socket.send_fds(self._control, [json.dumps(list(numbers)).encode()], list(fds))
        except OSError as error:
            raise self._gone() from error

    def hear(self, *words: str, timeout_s: float = START_TIMEOUT_S) -> tuple[list[Any], int | None]:
        """Return the station's next message, which has to be one of these, and the descriptor that came with it.

        Raises:
            SandboxUnavailableError: The station is gone, takes too long, or says something else.
        """
        if not readable(self._control.fileno(), timeout_s):
            raise SandboxUnavailableError(f"the sandbox did not say {words[0]!r} within {timeout_s:g} s")
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 65536, 1)
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        message = json.loads(data)  # written by code that has not met a claim's data
        if message[0] not in words:
            for fd in fds:
                os.close(fd)
            raise SandboxUnavailableError(f"the sandbox said {message} instead of {words[0]!r}")
        return message[1:], fds[0] if fds else None

    def idle(self) -> bool:
        """Return whether it is alive and has nothing more to say about an earlier claim."""
        return self._process.poll() is None and not readable(self._control.fileno())

    def close(self) -> None:
        """End it and all that is in it."""
        self._control.close()
        self._process.kill()  # what it started dies with it
        with contextlib.suppress(ChildProcessError):
            self._process.communicate()
        self.group.remove()

    def _gone(self) -> SandboxUnavailableError:
        code = self._process.poll()
        said = b""
        if code is not None and self._process.stderr:
            said = self._process.stderr.read() or b""
        text = said.decode(errors="replace").strip().rpartition("\n")[2]
        return SandboxUnavailableError(f"the long-lived sandbox ended ({text or f'exit code {code}'})")


class StationPair:
    """A station for judges and another for the judged."""

    def __init__(self, judge: Station, judged: Station) -> None:
        self.judge = judge
        self.judged = judged

    def is_fresh(self, max_claims: int) -> bool:
        """Return whether both are beyond doubt: alive, silent, young, and not used often."""
        return all(
            station.idle() and station.n_claims < max_claims and time.monotonic() - station.began < MAX_AGE_S
            for station in (self.judge, self.judged)
        )

    def close(self) -> None:
        """End both."""
        self.judge.close()
        self.judged.close()


class WarmCell(Cell):
    """A process forked by a station."""

    def __init__(self, station: Station, fds: Sequence[int], limits: Limits, *, cpu_s: int) -> None:
        """Have it forked; it waits for what the descriptors say.

        Raises:
            SandboxUnavailableError: The station is gone.
        """
        out, far_out = os.pipe()
        err, far_err = os.pipe()
        super().__init__((out, err), limits)
        self._station = station
        self._n_killed = station.group.n_killed()
        scratch = (limits.scratch_bytes, limits.scratch_bytes // _INODE_BYTES)
        numbers = (*scratch, cpu_s, limits.address_space_bytes, limits.n_processes, limits.file_bytes)
        try:
            station.begin(numbers, (far_out, far_err, *fds))
        except SandboxUnavailableError:
            self._release()
            raise
        finally:
            os.close(far_out)
            os.close(far_err)

    def settle(self) -> None:
        """Wait until the process is confined."""
        for _ in range(2):  # forker and forked speak at the same socket, in either order
            _, pidfd = self._station.hear("forked", "ready")
            if pidfd is not None:
                self._pidfd = pidfd
        fields = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text().split()
        self.pid = int(fields[fields.index("Pid:") + 1])

    @property
    def limits_memory(self) -> bool:
        """Whether memory is limited for all of its processes together."""
        return self._station.group.limits_memory

    def _reap(self) -> tuple[int, float]:
        if self._pidfd < 0:  # it never settled, and its station is not used again
            return 0, 0.0
        try:
            (status, cpu_s), _ = self._station.hear("ended", timeout_s=_KILL_TIMEOUT_S)
        except SandboxUnavailableError:
            if not self._out_of_memory():
                self._release()
                raise
            status, cpu_s = signal.SIGKILL, 0.0  # memory ended the station, and the claim with it
        code = os.waitstatus_to_exitcode(status)
        return (code if code >= 0 else 128 - code), cpu_s

    def _out_of_memory(self) -> bool:
        return self._station.group.n_killed() > self._n_killed

    def _release(self) -> None:
        for fd in self._streams:
            os.close(fd)
