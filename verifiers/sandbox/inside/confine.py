"""What a sandboxed process does to itself before it reads a byte that somebody else wrote."""

from __future__ import annotations

import os
import resource
import sys
from itertools import pairwise

_MAX_FD = 1024
_GVISOR = ("4.4.0", "#1 SMP Sun Jan 10 15:06:54 PST 2016")  # what it says of itself, always
_UNKNOWN_TO_GVISOR = (resource.RLIMIT_CORE, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_NPROC)


def confine(keep: set[int], limits: tuple[int, ...]) -> None:
    """Close every inherited descriptor but ``keep`` and the standard ones, and lower the resource limits for good.

    The limit on processes counts only inside the user namespace one is in, so it has to be set here rather than by
    whoever started us. Soft and hard limits are the same: nothing can be raised again.

    Args:
        keep: Descriptors to keep.
        limits: CPU seconds, bytes of address space of each process, processes and threads, bytes of a file.
    """
    cpu_s, memory_bytes, n_processes, file_bytes = limits
    ends = sorted({2, *keep, _MAX_FD})
    for before, after in pairwise(ends):
        os.closerange(before + 1, after)
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_NPROC, n_processes),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        try:
            resource.setrlimit(which, (value, value))
        except ValueError:
            if which not in _UNKNOWN_TO_GVISOR or os.uname()[2:4] != _GVISOR:
                raise
    for fd in keep:
        os.set_inheritable(fd, False)  # noqa: FBT003 - positional only
    sys.dont_write_bytecode = True
