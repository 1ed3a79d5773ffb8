"""What a claim may leave behind in a container: processes, files, and marks in the kernel's accounts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class End(NamedTuple):
    """How a process ended."""

    status: int
    """As ``wait`` says it."""

    cpu_s: float
    """Its own CPU time, and that of what it has waited for."""


def end_everything() -> dict[int, End]:
    """Kill every process but this one, the first of its process namespace; return how its children ended, by pid.

    The kernel signals all there are in one go, and none of them can be forking meanwhile: nothing gets away.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    ends: dict[int, End] = {}
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)  # orphans too: they are the first process's
        except ChildProcessError:
            return ends
        ends[pid] = End(status, usage.ru_utime + usage.ru_stime)


def wipe(folder: str, uid: int) -> bool:
    """Remove a uid's files from a folder; return whether it is empty then."""
    if not os.listdir(folder):  # noqa: PTH208 - the usual case, and quick
        return True
    wiper = os.fork()
    if wiper == 0:
        with contextlib.suppress(OSError):
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _remove_all(folder)
        os._exit(0)
    os.waitpid(wiper, 0)
    return not os.listdir(folder)  # noqa: PTH208


def _remove_all(folder: str) -> None:
    for path in Path(folder).iterdir():
        if path.is_dir() and not path.is_symlink():
            for above, folders, _ in os.walk(path):
                for inner in folders:
                    with contextlib.suppress(OSError):
                        Path(above, inner).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def times(pid: int) -> tuple[float, float]:
    """Return the CPU time of a process and the time that it has waited for a processor, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        cpu_s = sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS_PER_S
    except (OSError, IndexError):
        return 0.0, 0.0
    try:
        waited_s = int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):  # not every kernel counts it
        waited_s = 0.0
    return cpu_s, waited_s


def n_killed_for_memory() -> int:
    """Return how many processes of the container the kernel has killed for memory."""
    for name in _MEMORY_EVENTS:
        try:
            fd = os.open(name, os.O_RDONLY)
        except OSError:
            continue
        text = os.read(fd, 4096)
        os.close(fd)
        _, _, after = text.partition(b"oom_kill ")
        return int(after.split()[0]) if after else 0
    return 0
