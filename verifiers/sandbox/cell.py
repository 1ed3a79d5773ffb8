"""One confined process: a Python of the image, in namespaces of its own, started by bubblewrap."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cgroups import ControlGroup
from verifiers.sandbox.image import LIBRARIES, PYTHON, RUNTIME
from verifiers.sandbox.node import MOUNT as NODE_MOUNT
from verifiers.sandbox.printed import Printed
from verifiers.sandbox.protocol import Ending, Limit, Limits
from verifiers.sandbox.seccomp import filter_program
from verifiers.sandbox.waiting import readable

UNPRIVILEGED_ID = 65534  # nobody, outside (when we are root) and inside
START_TIMEOUT_S = 30.0  # a loaded machine, a cold disk
_KILLED = 128 + signal.SIGKILL  # the exit code of what was ended from outside
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Builder:
    """What every cell of a sandbox has in common."""

    bubblewrap: Path
    image: Path
    runtime: Path
    node: Path | None = None
    """Where node is, for programs in JavaScript."""

    def command(self, scratch_bytes: int, *options: str, info_fd: int) -> list[str]:
        """Return the bubblewrap command up to the Python to run; ``options`` are added to bubblewrap's.

        No /proc: nothing under test needs it, and with it go environ, mem, fd and sys. No /sys, no /etc, no users.
        ``--as-pid-1``: the cell's first process is ours, and when it ends the kernel kills all the others.
        """
        devices = [arg for name in ("null", "zero", "urandom", "random") for arg in _device(name)]
        return [
            *(str(self.bubblewrap), "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"),
            *("--uid", str(UNPRIVILEGED_ID), "--gid", str(UNPRIVILEGED_ID), "--cap-drop", "ALL"),
            *("--hostname", "sandbox", "--ro-bind", str(self.image), "/", *devices),
            *("--ro-bind", str(self.runtime), RUNTIME),
            *(("--ro-bind", str(self.node), NODE_MOUNT) if self.node else ()),
            *("--size", str(scratch_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),  # noqa: S108 - its own
            *("--clearenv", "--setenv", "LD_LIBRARY_PATH", LIBRARIES, "--setenv", "PYTHONPATH", RUNTIME),
            *("--setenv", "PYTHONHASHSEED", "0", "--setenv", "HOME", "/tmp"),  # noqa: S108
            *("--setenv", "MALLOC_ARENA_MAX", "2"),  # threads would each reserve 64 MiB of the address space
            *("--setenv", "PYTHONUTF8", "1", "--setenv", "PYTHONIOENCODING", "utf-8:backslashreplace"),
            *(*options, "--info-fd", str(info_fd), "--", PYTHON, "-s", "-P", "-S", "-B"),
        ]

    def start(self, module: str, fds: Sequence[int], limits: Limits, *, cpu_s: int) -> ColdCell:
        """Start ``verifiers.sandbox.inside.<module>`` with these descriptors; it waits for what they say.

        Raises:
            SandboxUnavailableError: The process could not be started.
        """
        info_out, info_in = os.pipe()
        seccomp = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            os.write(seccomp, filter_program())
            os.lseek(seccomp, 0, os.SEEK_SET)
            numbers = [*fds, cpu_s, limits.address_space_bytes, limits.n_processes, limits.file_bytes]
            code = f"from verifiers.sandbox.inside.{module} import main; main{tuple(numbers)}"
            options = ("--seccomp", str(seccomp))
            command = [*self.command(limits.scratch_bytes, *options, info_fd=info_in), "-c", code]
            process = spawn(command, [*fds, seccomp, info_in])
        except OSError as error:
            os.close(info_out)
            raise SandboxUnavailableError(f"bubblewrap cannot be started: {error}") from error
        finally:
            os.close(seccomp)
            os.close(info_in)
        return ColdCell(process, info_out, limits)


def _device(name: str) -> tuple[str, str, str]:
    return ("--dev-bind", f"/dev/{name}", f"/dev/{name}")


def spawn(command: list[str], fds: list[int]) -> subprocess.Popen[bytes]:
    """Start bubblewrap, never as root, with nothing in its environment."""
    # Started as real root, bubblewrap would leave the host's sysctls writable to what it confines.
    identity = UNPRIVILEGED_ID if os.geteuid() == 0 else None
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={},
        pass_fds=fds,
        user=identity,
        group=identity,
        extra_groups=[] if identity else None,
        start_new_session=True,  # a Ctrl-C that ends the worker must not end the program first, and refute it
    )


def await_child(process: subprocess.Popen[bytes], info_fd: int) -> tuple[int, int]:
    """Return the process identifier of what bubblewrap started, and a descriptor of it.

    Raises:
        SandboxUnavailableError: It never came to be; with bubblewrap's own words.
    """
    text = b""
    try:
        while readable(info_fd, START_TIMEOUT_S):
            part = os.read(info_fd, 4096)
            text += part
            if not part or b"}" in part:
                break
    finally:
        os.close(info_fd)
    try:
        pid = int(json.loads(text)["child-pid"])
        return pid, os.pidfd_open(pid)
    except (ValueError, KeyError, OSError) as error:
        process.kill()
        said = process.communicate()[1].decode(errors="replace").strip()
        raise SandboxUnavailableError(
            f"the sandbox did not start: {said or 'no word from bubblewrap'}"
        ) from error


class Cell(ABC):
    """A confined process, until ``end``."""

    def __init__(self, streams: tuple[int, int], limits: Limits) -> None:
        self._streams = streams
        self._printed = Printed(limits.output_bytes)
        self._pidfd = -1
        self._ended = False
        self.limit: Limit | None = None
        self.pid = 0

    @abstractmethod
    def settle(self) -> None:
        """Wait until the confined process exists and is limited.

        Raises:
            SandboxUnavailableError: It never came to be.
        """

    @property
    @abstractmethod
    def limits_memory(self) -> bool:
        """Whether memory is limited for all of its processes together."""

    @property
    def streams(self) -> list[int]:
        """The descriptors of its output."""
        return list(self._streams)

    def read(self, fd: int) -> bool:
        """Take what it printed; return False at the end. Too much of it ends the cell."""
        part = os.read(fd, 65536)
        if not self._printed.take(fd, part):
            self.stop(Limit.OUTPUT)
        return bool(part)

    def times(self) -> tuple[float, float]:
        """Return the CPU time used so far and the time spent waiting for a processor, in seconds."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
            cpu_s = sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS_PER_S
        except (OSError, IndexError):
            return 0.0, 0.0
        try:
            waited_s = int(Path(f"/proc/{self.pid}/schedstat").read_bytes().split()[1]) / 1e9
        except (OSError, IndexError):
            waited_s = 0.0
        return cpu_s, waited_s

    def stop(self, limit: Limit | None) -> None:
        """Kill all of it, because of ``limit``; the first reason stands."""
        self.limit = self.limit or limit
        self._kill()

    def abandon(self) -> None:
        """End it if nobody has, after an error."""
        if not self._ended:
            with contextlib.suppress(SandboxUnavailableError):
                self.end()

    def end(self) -> Ending:
        """Make sure that nothing of it is left, and return how it ended."""
        self._ended = True
        by_itself = self._has_exited()
        self._kill()
        try:
            code, cpu_s = self._reap()
        finally:
            if self._pidfd >= 0:
                os.close(self._pidfd)
        # A process that dies closes its connection before it counts as dead, so it need not have exited yet.
        known = by_itself or code != _KILLED
        stdout, stderr = (self._printed.text(fd) for fd in self._streams)
        if self.limit is None and self._out_of_memory():
            self.limit = Limit.MEMORY
        self._release()
        return Ending(
            exit_code=code if known else None,
            cpu_s=cpu_s,
            limit=self.limit,
            stdout=stdout,
            stderr=stderr,
        )

    def _has_exited(self) -> bool:
        return self._pidfd >= 0 and readable(self._pidfd)

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    @abstractmethod
    def _reap(self) -> tuple[int | None, float]:
        """Wait until all of it is dead; return its exit code, if that is known, and the CPU time of all, in seconds."""

    @abstractmethod
    def _out_of_memory(self) -> bool:
        """Return whether the kernel killed any of it for memory."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what it was made of."""


class ColdCell(Cell):
    """A process with a bubblewrap of its own."""

    def __init__(self, process: subprocess.Popen[bytes], info_fd: int, limits: Limits) -> None:
        assert process.stdout is not None  # noqa: S101 - both are pipes
        assert process.stderr is not None  # noqa: S101
        super().__init__((process.stdout.fileno(), process.stderr.fileno()), limits)
        self._process = process
        self._info_fd = info_fd
        self._group = ControlGroup(memory_bytes=limits.memory_bytes, n_processes=limits.n_processes)

    def settle(self) -> None:
        """Wait until the confined process exists, and put it into its control group."""
        try:
            self.pid, self._pidfd = await_child(self._process, self._info_fd)
        except SandboxUnavailableError:
            self._ended = True
            self._group.remove()
            raise
        self._group.add(self.pid)

    @property
    def limits_memory(self) -> bool:
        """Whether memory is limited for all of its processes together."""
        return self._group.limits_memory

    def _kill(self) -> None:
        # The confined process first: with it die all others of its pid namespace, and bubblewrap, which waits for it,
        # ends by itself. Not Popen.kill, which may reap bubblewrap, and its account of CPU time with it.
        super()._kill()
        if self._pidfd < 0:
            os.kill(self._process.pid, signal.SIGKILL)

    def _reap(self) -> tuple[int, float]:
        """Return bubblewrap's exit code (negative: the signal that ended it) and the CPU time of all, in seconds."""
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # somebody in this process waits for everybody's children
            status, cpu_s = 0, 0.0
        else:
            cpu_s = round(usage.ru_utime + usage.ru_stime, 3)
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        if code < 0:  # bubblewrap itself, out of reach from the inside
            self._release()
            raise SandboxUnavailableError(f"bubblewrap was ended from outside by signal {-code}")
        return code, cpu_s

    def _out_of_memory(self) -> bool:
        return self._group.out_of_memory()

    def _release(self) -> None:
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._group.remove()
