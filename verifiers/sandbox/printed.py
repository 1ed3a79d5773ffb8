"""What a confined process printed: the end of it, and whether it was too much."""

from __future__ import annotations

_TAIL_BYTES = 4000


class Printed:
    """The output of one process, on one stream or more.

    Args:
        limit_bytes: How much it may print, on all together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes
        self._tails: dict[int, bytes] = {}

    def take(self, stream: int, part: bytes) -> bool:
        """Take what it printed; return False when it is too much."""
        self._tails[stream] = (self._tails.get(stream, b"") + part)[-_TAIL_BYTES:]
        self._left_bytes -= len(part)
        return self._left_bytes >= 0

    def text(self, stream: int) -> str:
        """Return the last of it."""
        return self._tails.get(stream, b"").decode(errors="replace")
