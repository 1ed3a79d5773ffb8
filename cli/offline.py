"""Commands that need no service: merge recorded chains, verify claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from cli.console import fail, told
from cli.lines import File, answer_each, opened
from reasoner.decisions import Thresholds
from reasoner.early_exit import Policy
from verifiers.claims import EqualityClaim, ProgramClaim
from verifiers.verdicts import Verdict
from worker.merging import Judges, MergeLine, Merger
from worker.settings import settings
from worker.submission.lines import MAX_ANSWER_CHARS, MAX_PROMPT_CHARS, Line
from worker.weights import EQUAL, read_weights

verify = typer.Typer(help="Judge claims without any service.", no_args_is_help=True)

THRESHOLDS = {name.removesuffix("_"): name for name in Thresholds.__dataclass_fields__}

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
    language: str = "python"
    files: dict[str, str] = Field(default_factory=dict)
    known_good: str | None = None
    seed: int = 0


Given = Annotated[
    str | None,
    typer.Option(
        "--thresholds",
        help="For tasks that name none, e.g. lambda=0.3,tau_margin=0.1,tau_conf=0.3,tau_score=0.5.",
        metavar="NAME=SHARE,...",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="What `pool report -o` wrote: merges several models by what was learned of them."
    ),
]
Exiting = Annotated[
    Policy | None,
    typer.Option("--early-exit", help="Report how many chains this policy would have used, and its answer."),
]


def merge(file: File, thresholds: Given = None, weights: Weights = None, early_exit: Exiting = None) -> None:
    """Decide each line of recorded chains; one JSON decision per line, in input order.

    A line is {"custom_id", "kind", "mode", "chains": [{"text", "answer"?, "logprob"?, "n_tokens"?, "model"?}],
    "options"?, "label"?}. What a decision line holds stands in docs/decision-lines.md.

    Example:

        merge-reasoner merge chains.jsonl > decisions.jsonl
        merge-reasoner merge chains.jsonl --weights weights.json --thresholds tau_conf=0.5
        merge-reasoner merge chains.jsonl --early-exit lossless
    """
    with told(), opened(file) as stream, Judges(settings().models_dir) as judges:
        merger = Merger(
            judges,
            thresholds_from(thresholds),
            weights=EQUAL if weights is None else read_weights(weights),
            early_exit=early_exit,
        )
        code = answer_each(stream, MergeLine, file, merger.decide_many, id_field="custom_id")
    raise typer.Exit(code)


def thresholds_from(text: str | None) -> Thresholds:
    """Return the default thresholds with those that ``text`` names in their place."""
    given: dict[str, float] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in THRESHOLDS or not equals:
            raise fail(
                f"--thresholds: {part.strip()!r} is not NAME=SHARE; the names are {', '.join(THRESHOLDS)}"
            )
        try:
            given[THRESHOLDS[name]] = float(value)
        except ValueError:
            raise fail(f"--thresholds: {name} must be a number in [0, 1], not {value!r}") from None
    return Thresholds(**given)


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

    with told(), opened(file) as stream:
        verifier = MathVerifier()
        try:
            code = answer_each(
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

    Also "files", "known_good", "seed" and "language"; the forms of tests are in docs/code-tests.md.

    Example:

        merge-reasoner verify code claims.jsonl
    """
    from verifiers.code.verifier import CodeVerifier  # noqa: PLC0415 (a command loads its own verifier only)

    with told(), opened(file) as stream:
        verifier = CodeVerifier()
        try:
            code = answer_each(
                stream,
                CodeLine,
                file,
                lambda lines: _verdict_lines(
                    lines,
                    verifier.verify_many(
                        [
                            ProgramClaim(
                                program=line.program,
                                tests=line.tests,
                                entry_point=line.entry_point,
                                language=line.language,
                                files=line.files,
                                known_good=line.known_good,
                                seed=line.seed,
                            )
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
