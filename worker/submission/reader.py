"""Lines of a JSONL file in bounded memory, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as bytes, without its end; ``too_long`` lines carry only their beginning."""

    number: int
    content: bytes
    too_long: bool = False


def read_lines(stream: BinaryIO, *, max_line_bytes: int) -> Iterator[RawLine]:
    """Yield the lines that are not blank, numbered from 1 as editors count.

    A byte-order mark at the start and Windows line ends are dropped. A line longer than ``max_line_bytes`` is
    yielded once, marked, and the rest of it is skipped without being kept.
    """
    number = 0
    while True:
        content = stream.readline(max_line_bytes + 1)
        if not content:
            return
        number += 1
        if number == 1:
            content = content.removeprefix(BOM)
        if len(content) > max_line_bytes and not content.endswith(b"\n"):
            yield RawLine(number, content[:200], too_long=True)
            _skip_to_line_end(stream)
            continue
        content = content.strip()
        if content:
            yield RawLine(number, content)


def _skip_to_line_end(stream: BinaryIO) -> None:
    while True:
        block = stream.readline(BLOCK_BYTES)
        if not block or block.endswith(b"\n"):
            return
