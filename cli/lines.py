"""Files of JSON lines: read strictly, answered line by line, in order, in bounded memory."""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

import typer
from pydantic import BaseModel

from cli.console import Exit, err, fail, plain
from worker.settings import settings
from worker.submission.problems import LineProblem
from worker.submission.validation import LineValidator, ValidLine

LineT = TypeVar("LineT", bound=BaseModel)
CHUNK = 64  # lines worked on together; what comes of them comes out in input order

File = Annotated[Path, typer.Argument(help="JSON lines; - reads standard input.")]
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def opened(file: Path) -> BinaryIO:
    """Return the file, or standard input for ``-``."""
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise fail(f"cannot read {file}: {error.strerror}") from error


def judged_lines(
    stream: BinaryIO, model: type[LineT], file: Path, *, id_field: Literal["id", "custom_id"]
) -> Iterator[LineT | LineProblem]:
    """Yield each line that is not blank, or what is wrong with it, which is told on standard error too."""
    validator = LineValidator(
        model, file=file.name, max_line_bytes=settings().max_line_bytes * 16, id_field=id_field, unique=False
    )
    for result in validator.validate(stream):
        if isinstance(result, ValidLine):
            yield result.line
        else:
            err.print(plain(str(result)), soft_wrap=True)
            yield result


def answer_each(
    stream: BinaryIO,
    model: type[LineT],
    file: Path,
    answer: Callable[[list[LineT]], list[dict[str, Any]]],
    *,
    id_field: Literal["id", "custom_id"] = "id",
) -> Exit:
    """Write one output line per input line, in input order; a bad line gets an error in its place."""
    n_bad = 0
    for chunk in _chunks(judged_lines(stream, model, file, id_field=id_field), stream):
        answers = iter(answer([line for line in chunk if not isinstance(line, LineProblem)]))
        written = []
        for line in chunk:
            if isinstance(line, LineProblem):
                n_bad += 1
                written.append(_ENCODE({id_field: line.custom_id, "error": line.to_json()}))
            else:
                written.append(_ENCODE(next(answers)))
        sys.stdout.write("\n".join(written) + "\n")
        sys.stdout.flush()
    return Exit.SOME_FAILED if n_bad else Exit.OK


def _chunks(lines: Iterator[LineT | LineProblem], stream: BinaryIO) -> Iterator[list[LineT | LineProblem]]:
    """Yield what is there, ``CHUNK`` lines at most: who sends a line and keeps the pipe open gets its answer."""
    chunk: list[LineT | LineProblem] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK or not _has_more(stream):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _has_more(stream: BinaryIO) -> bool:
    """Return whether reading on would not have to wait, as far as the system can tell."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError):  # no file of the system's: all of it is here
        return True
