"""Limits on all the processes of a cell together, where this process may make control groups (version 1 or 2)."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "merge-reasoner"
_serial = itertools.count()


class ControlGroup:
    """The control groups of one cell; empty where there are none."""

    def __init__(self, *, memory_bytes: int, n_processes: int) -> None:
        name = f"{_PREFIX}-{os.getpid()}-{next(_serial)}"
        self._folders: list[Path] = []
        self._memory: Path | None = None
        v2, memory, pids = _hierarchies()
        try:
            if v2 is not None:
                self._memory = self._make(v2 / name, {"memory.max": memory_bytes, "pids.max": n_processes})
                _write(self._memory / "memory.swap.max", 0)
            else:
                if memory is not None:
                    self._memory = self._make(memory / name, {"memory.limit_in_bytes": memory_bytes})
                    _write(self._memory / "memory.memsw.limit_in_bytes", memory_bytes)
                if pids is not None:
                    self._make(pids / name, {"pids.max": n_processes})
        except OSError:
            self.remove()  # less protection, which the verdict's warning says
            self._memory = None

    @property
    def limits_memory(self) -> bool:
        """Whether memory is limited for all processes of the cell together."""
        return self._memory is not None

    def add(self, pid: int) -> None:
        """Move a process into it; its later children follow."""
        try:
            for folder in self._folders:
                (folder / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            return  # it has ended already, and needs no limit
        except OSError:
            self._memory = None  # not limited after all

    def out_of_memory(self) -> bool:
        """Return whether the kernel killed anything in it for memory."""
        return self.n_killed() > 0

    def n_killed(self) -> int:
        """Return how many processes in it the kernel has killed for memory."""
        if self._memory is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            try:
                text = (self._memory / name).read_text()
            except OSError:
                continue
            words = (line.split() for line in text.splitlines())
            return sum(int(number) for name, number in words if name == "oom_kill")
        return 0

    def remove(self) -> None:
        """Delete it; its processes are gone, or just about to be."""
        for folder in self._folders:
            for _ in range(50):  # a killed process leaves its group some milliseconds later
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break
        self._folders = []

    def _make(self, folder: Path, limits: dict[str, int]) -> Path:
        folder.mkdir()
        self._folders.append(folder)
        for name, value in limits.items():
            (folder / name).write_text(str(value))
        return folder


@functools.cache
def _hierarchies() -> tuple[Path | None, Path | None, Path | None]:
    """Return where groups can be made: version 2, or version 1's memory and pids; each None if it can't."""
    if (_ROOT / "cgroup.controllers").exists():
        return _writable(_own_group("", _ROOT), "memory.max"), None, None
    memory = _writable(_own_group("memory", _ROOT / "memory"), "memory.limit_in_bytes")
    return None, memory, _writable(_own_group("pids", _ROOT / "pids"), "pids.max")


def _own_group(controller: str, mount: Path) -> Path:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return mount
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = mount / path.lstrip("/")
            return own if own.is_dir() else mount
    return mount


def _writable(parent: Path, limit: str) -> Path | None:
    """Return ``parent`` if a group below it can be made and limited."""
    probe = parent / f"{_PREFIX}-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return None
    try:
        return parent if (probe / limit).exists() else None
    finally:
        probe.rmdir()
        _sweep(parent)


def _sweep(parent: Path) -> None:
    """Remove the groups of workers that were killed before they could; a group that is in use cannot be removed."""
    for folder in parent.glob(f"{_PREFIX}-*-*"):
        pid = folder.name.split("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _write(file: Path, value: int) -> None:
    try:
        file.write_text(str(value))
    except OSError:
        return  # not every kernel has every file; what matters is checked by reading it back
