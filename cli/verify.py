"""`verify`: verdicts from claims, without any service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from pydantic import Field

from cli.console import told
from cli.lines import File, answer_each, opened
from verifiers.claims import EqualityClaim, ProgramClaim
from verifiers.verdicts import Verdict
from worker.submission.lines import MAX_ANSWER_CHARS, MAX_PROMPT_CHARS, Line

verify = typer.Typer(help="Judge claims without any service.", no_args_is_help=True)

Timeout = Annotated[float, typer.Option("--timeout", min=0.01, help="CPU seconds for one claim.")]
LONGER = (
    100  # times what a task line may hold: a claim too long for its verifier is an abstention, not a bad line
)


class ClaimLine(Line):
    """One claim of any kind."""

    id: str | int


LineT = TypeVar("LineT", bound=ClaimLine)


class MathLine(ClaimLine):
    """One claim for ``verify math``."""

    gold: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * LONGER)]
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * LONGER)]


class CodeLine(ClaimLine):
    """One claim for ``verify code``."""

    program: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    tests: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    entry_point: Annotated[str, Field(max_length=200)] | None = None
    language: str = "python"
    files: dict[str, str] = Field(default_factory=dict)
    known_good: str | None = None
    seed: int = 0


class ManyVerifier(Protocol):
    """What the commands need of a verifier."""

    def verify_many(self, claims: Sequence[Any], *, timeout_s: float) -> list[Verdict]:
        """Judge all, in order."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


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

    _judge_file(
        file,
        MathLine,
        lambda line: EqualityClaim(gold=line.gold, answer=line.answer),
        MathVerifier,
        timeout_s=timeout_s,
    )


@verify.command("code")
def verify_code(file: File, timeout_s: Timeout = 10.0) -> None:
    """Judge whether programs pass their tests: lines of {"id", "program", "tests", "entry_point"?}.

    Also "files", "known_good", "seed" and "language"; the forms of tests are in docs/code-tests.md.

    Example:

        merge-reasoner verify code claims.jsonl
    """
    from verifiers.code.verifier import CodeVerifier  # noqa: PLC0415 (a command loads its own verifier only)

    _judge_file(
        file,
        CodeLine,
        lambda line: ProgramClaim(**line.model_dump(exclude={"id"})),
        CodeVerifier,
        timeout_s=timeout_s,
    )


def _judge_file(
    file: Path,
    model: type[LineT],
    claim_of: Callable[[LineT], object],
    verifier_of: Callable[[], ManyVerifier],
    *,
    timeout_s: float,
) -> None:
    """Write a verdict line per claim line, in input order."""
    with told(), opened(file) as stream:
        verifier = verifier_of()
        try:
            code = answer_each(
                stream,
                model,
                file,
                lambda lines: [
                    _verdict_line(line, verdict)
                    for line, verdict in zip(
                        lines,
                        verifier.verify_many([claim_of(line) for line in lines], timeout_s=timeout_s),
                        strict=True,
                    )
                ],
            )
        finally:
            verifier.close()
    raise typer.Exit(code)


def _verdict_line(line: ClaimLine, verdict: Verdict) -> dict[str, object]:
    return {
        "id": line.id,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "elapsed_s": round(verdict.elapsed_s, 6),
        "evidence": verdict.evidence,
        "verifier": f"{verdict.verifier}/{verdict.version}",
    }
