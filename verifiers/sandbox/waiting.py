"""Waiting for a descriptor; not with ``select``, which knows only the first 1,024 of a process."""

from __future__ import annotations

import select


def readable(fd: int, timeout_s: float = 0.0) -> bool:
    """Return whether something, or the end, can be read from ``fd`` before ``timeout_s`` seconds are over."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
