"""Commands that need no service: merge recorded chains, verify claims."""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, TypeVar

import typer
from pydantic import BaseModel, Field

from cli.console import Exit, err, fail, plain, told
from reasoner.decisions import Thresholds
from verifiers.claims import EqualityClaim, ProgramClaim
from verifiers.verdicts import Verdict
from worker.merging import MergeLine, Merger
from worker.settings import settings
from worker.submission.lines import MAX_ANSWER_CHARS, MAX_PROMPT_CHARS, Line
from worker.submission.problems import LineProblem
from worker.submission.validation import LineValidator, ValidLine

verify = typer.Typer(help="Judge claims without any service.", no_args_is_help=True)

LineT = TypeVar("LineT", bound=BaseModel)
CHUNK = 64  # claims judged together; their verdicts come out in input order

File = Annotated[Path, typer.Argument(help="JSON lines; - reads standard input.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.01, help="CPU seconds for one claim.")]


class MathLine(Line):
    """One claim for ``verify math``."""

    id: str | int
    gold: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * 100)]
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * 100)]


class CodeLine(Line):
    """One claim for ``verify code``."""

    id: str | int
    program: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * 100)]
    tests: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * 100)]
    entry_point: Annotated[str, Field(max_length=200)] | None = None


def merge(file: File) -> None:
    """Decide each line of recorded chains; one JSON decision per line, in input order.

    A line is {"custom_id", "kind", "mode", "chains": [{"text", "answer"?, "logprob"?, "n_tokens"?, "model"?}],
    "options"?, "label"?}.

    Example:

        merge-reasoner merge chains.jsonl > decisions.jsonl
    """
    with told(), _opened(file) as stream, Merger(Thresholds()) as merger:
        code = _each(stream, MergeLine, file, merger.decide_many, id_field="custom_id")
    raise typer.Exit(code)


@verify.callback()
def _verify() -> None:
    """Judge claims without any service."""


@verify.command("math")
def verify_math(file: File, timeout_s: Timeout = 5.0) -> None:
    """Judge whether answers are the same: lines of {"id", "gold", "answer"}.

    Example:

        merge-reasoner verify math claims.jsonl
    """
    from verifiers.math.verifier import MathVerifier  # noqa: PLC0415 (a command loads its own verifier only)

    with told(), _opened(file) as stream:
        verifier = MathVerifier()
        try:
            code = _each(
                stream,
                MathLine,
                file,
                lambda lines: _verdict_lines(
                    lines,
                    verifier.verify_many(
                        [EqualityClaim(gold=line.gold, answer=line.answer) for line in lines],
                        timeout_s=timeout_s,
                    ),
                ),
            )
        finally:
            verifier.close()
    raise typer.Exit(code)


@verify.command("code")
def verify_code(file: File, timeout_s: Timeout = 10.0) -> None:
    """Judge whether programs pass their tests: lines of {"id", "program", "tests", "entry_point"?}.

    Example:

        merge-reasoner verify code claims.jsonl
    """
    from verifiers.code.verifier import CodeVerifier  # noqa: PLC0415 (a command loads its own verifier only)

    with told(), _opened(file) as stream:
        verifier = CodeVerifier()
        try:
            code = _each(
                stream,
                CodeLine,
                file,
                lambda lines: _verdict_lines(
                    lines,
                    verifier.verify_many(
                        [
                            ProgramClaim(program=line.program, tests=line.tests, entry_point=line.entry_point)
                            for line in lines
                        ],
                        timeout_s=timeout_s,
                    ),
                ),
            )
        finally:
            verifier.close()
    raise typer.Exit(code)


def _verdict_lines(
    lines: Sequence[MathLine | CodeLine], verdicts: Sequence[Verdict]
) -> list[dict[str, object]]:
    return [
        {
            "id": line.id,
            "outcome": verdict.outcome.value,
            "reason": verdict.reason,
            "elapsed_s": round(verdict.elapsed_s, 6),
            "evidence": verdict.evidence,
            "verifier": f"{verdict.verifier}/{verdict.version}",
        }
        for line, verdict in zip(lines, verdicts, strict=True)
    ]


def _each(
    stream: BinaryIO,
    model: type[LineT],
    file: Path,
    answer: Callable[[list[LineT]], list[dict[str, object]]],
    *,
    id_field: Literal["id", "custom_id"] = "id",
) -> Exit:
    """Write one output line per input line, in input order; a bad line gets an error in its place."""
    validator = LineValidator(
        model, file=file.name, max_line_bytes=settings().max_line_bytes * 16, id_field=id_field, unique=False
    )
    n_bad = 0
    for chunk in _chunks(validator.validate(stream), stream):
        answers = iter(answer([result.line for result in chunk if isinstance(result, ValidLine)]))
        for result in chunk:
            if isinstance(result, LineProblem):
                n_bad += 1
                err.print(plain(str(result)), soft_wrap=True)
                line: dict[str, object] = {id_field: result.custom_id, "error": result.to_json()}
            else:
                line = next(answers)
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return Exit.SOME_FAILED if n_bad else Exit.OK


def _chunks(
    results: Iterator[ValidLine[LineT] | LineProblem], stream: BinaryIO
) -> Iterator[list[ValidLine[LineT] | LineProblem]]:
    """Yield what is there, ``CHUNK`` lines at most: who sends a line and keeps the pipe open gets its answer."""
    chunk: list[ValidLine[LineT] | LineProblem] = []
    for result in results:
        chunk.append(result)
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


def _opened(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise fail(f"cannot read {file}: {error.strerror}") from error
