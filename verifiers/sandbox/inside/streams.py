"""Several byte streams carried over one, for a container whose only way out is its standard input and output."""

from __future__ import annotations

import json
from typing import Any

CONTROL, REPORT, STDOUT, STDERR, JUDGE_PRINTED = range(5)
"""The streams: messages for and of the container's first process, job and report, what the two print."""

HEADER_BYTES = 5  # channel, then the size of what follows
PART_BYTES = 65536


def message(content: list[Any]) -> bytes:
    """Return a message to the other end itself."""
    data = json.dumps(content).encode()
    return header(CONTROL, len(data)) + data


def header(channel: int, n_bytes: int) -> bytes:
    """Return what stands before a piece of one stream; a piece of no bytes is its end."""
    return channel.to_bytes(1, "big") + n_bytes.to_bytes(4, "big")


def pieces(channel: int, data: bytes) -> bytes:
    """Return the data as pieces of one stream."""
    parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    return b"".join(header(channel, len(part)) + part for part in parts)


class Parts:
    """Takes a stream apart again."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take some bytes; return the pieces that are complete with them.

        Raises:
            ValueError: A piece claims to be larger than any is.
        """
        self._data += data
        found = []
        while len(self._data) >= HEADER_BYTES:
            size = int.from_bytes(self._data[1:HEADER_BYTES], "big")
            if size > PART_BYTES:
                raise ValueError(f"a piece of {size} bytes")
            end = HEADER_BYTES + size
            if len(self._data) < end:
                break
            found.append((self._data[0], bytes(self._data[HEADER_BYTES:end])))
            del self._data[:end]
        return found
