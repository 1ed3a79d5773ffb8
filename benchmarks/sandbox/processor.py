"""CPU time of this process, of all that it has started, and of control groups: what a loaded machine can't distort."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FIELDS = (11, 12, 13, 14)  # own and waited-for children's, user and system, after the name in /proc/PID/stat


def cpu_s(groups: Sequence[Path]) -> float:
    """Return the CPU time so far, in seconds.

    Args:
        groups: Folders of control groups, of version 1 or 2, such as the engine's and its containers'.
    """
    parents, times = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(file.parent.name)
        parents[pid] = int(fields[1])
        times[pid] = sum(int(fields[place]) for place in _FIELDS) / _TICKS_PER_S
    ours = {os.getpid()}
    while new := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= new
    return sum(times[pid] for pid in ours) + sum(_group_s(folder) for folder in groups)


def _group_s(folder: Path) -> float:
    old = folder / "cpuacct.usage"
    if old.exists():
        return int(old.read_text()) / 1e9
    return int((folder / "cpu.stat").read_text().split()[1]) / 1e6
