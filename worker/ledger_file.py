"""A ledger file: a header, what the tasks rest on, a line for each task, and an end with the hash of all before it.

Text is UTF-8, one JSON object a line, and may be compressed by gzip. The header names the columns of every table, so a
reader needs nothing else; docs/audit.md describes the lines.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from worker.errors import LedgerFileError

FORMAT = "merge-reasoner ledger"
VERSION = 1
HEADER, END = "ledger", "end"
MAX_LINE_BYTES = 256 * 1024 * 1024  # a task of a thousand long chains is far below; more is no line of ours
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that was read and whose form is right."""

    number: int
    """From 1."""

    kind: str
    text: str
    value: Mapping[str, Any]


class Writer:
    """Writes lines, and the end that proves them whole."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.counts: dict[str, int] = {}

    def write(self, kind: str, members: str) -> None:
        """Write one object, given as the text of its members."""
        self._put(f"{{{members}}}\n".encode())
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def end(self) -> str:
        """Write the last line; return the hash that it holds."""
        digest = self._hash.hexdigest()
        self._put(
            f"{json.dumps({END: {'sha256': digest, 'n_tasks': self.counts.get('task', 0)}})}\n".encode()
        )
        return digest

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._stream.write(data)


@contextmanager
def new_file(path: Path) -> Iterator[Writer]:
    """Make ``path``, compressed when it ends in ``.gz``; it is there only when the block ends well.

    Raises:
        LedgerFileError: It is there already, or cannot be written.
    """
    if path.exists():
        raise LedgerFileError(f"{path} is there already; name another file")
    unfinished = path.with_name(path.name + ".part")
    try:
        with ExitStack() as closing:
            raw = closing.enter_context(unfinished.open("wb"))
            unfinished.chmod(0o600)
            packs = path.suffix == ".gz"
            stream = closing.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if packs else raw
            yield Writer(stream)  # type: ignore[arg-type]  # GzipFile writes bytes as any stream does
        unfinished.rename(path)
    except OSError as error:
        raise LedgerFileError(f"cannot write {path}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_lines(path: Path) -> Iterator[Line]:
    """Yield every line from the header to the end, which must be there and bear the right hash.

    What was yielded before an error is not to be used.

    Raises:
        LedgerFileError: The file cannot be read, is none of ours, newer, damaged or cut; the message names the line.
    """
    hashed = hashlib.sha256()
    number = n_tasks = 0
    with _opened(path) as stream:
        while data := _next(stream, number + 1):
            number += 1
            line = _parsed(data, number)
            if line.kind == END:
                _check_end(line, digest=hashed.hexdigest(), n_tasks=n_tasks)
                if _next(stream, number + 1):
                    raise LedgerFileError(f"line {number + 1}: something follows the end")
                yield line
                return
            if (line.kind == HEADER) != (number == 1):
                raise LedgerFileError(
                    f"line {number}: {'no header of a ledger file' if number == 1 else 'a second header'}"
                )
            if number == 1:
                _check_header(line.value)
            hashed.update(data)
            n_tasks += line.kind == "task"
            yield line
    raise LedgerFileError(f"line {number + 1}: the end is missing; the file was cut")


def _check_header(value: Mapping[str, Any]) -> None:
    header = value[HEADER]
    if header.get("format") != FORMAT:
        raise LedgerFileError("line 1: no header of a ledger file")
    if header.get("version") != VERSION:
        raise LedgerFileError(
            f"line 1: the file is of version {header.get('version')}, and this program reads version {VERSION}"
        )


def _check_end(line: Line, *, digest: str, n_tasks: int) -> None:
    said = line.value[END]
    if said.get("sha256") != digest or said.get("n_tasks") != n_tasks:
        raise LedgerFileError(
            f"line {line.number}: the hash of what stands before it is another; the file was changed or damaged"
        )


def _parsed(data: bytes, number: int) -> Line:
    if not data.endswith(b"\n"):
        raise LedgerFileError(f"line {number}: it is cut")
    try:
        text = data.decode("utf-8")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LedgerFileError(f"line {number}: no JSON: {error}") from error
    if not isinstance(value, dict) or not value:
        raise LedgerFileError(f"line {number}: no JSON object")
    kind = next(iter(value))
    if kind not in {HEADER, END, "batch", "calibration", "task"} or not isinstance(value[kind], dict):
        raise LedgerFileError(f"line {number}: {kind!r} is nothing that a ledger file holds")
    return Line(number=number, kind=kind, text=text, value=value)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            if not packed:
                yield raw
                return
            with gzip.open(raw) as stream:
                yield stream  # type: ignore[misc]  # GzipFile reads bytes as any stream does
    except OSError as error:
        raise LedgerFileError(f"cannot read {path}: {error.strerror or error}") from error


def _next(stream: IO[bytes], number: int) -> bytes:
    try:
        data = stream.readline(MAX_LINE_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LedgerFileError(f"line {number}: the compressed data is damaged or cut: {error}") from error
    if len(data) == MAX_LINE_BYTES:
        raise LedgerFileError(f"line {number}: longer than {MAX_LINE_BYTES >> 20} MB")
    return data
