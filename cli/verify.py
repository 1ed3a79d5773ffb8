"""`verify`: verdicts from claims, without any service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import typer
from pydantic import Field, model_validator

from cli.console import fail, told
from cli.lines import File, answer_each, opened
from verifiers.claims import (
    Collection,
    EntailmentClaim,
    EqualityClaim,
    MathClaim,
    ProgramClaim,
    SatisfiesClaim,
    StepsClaim,
    SupportClaim,
)
from verifiers.verdicts import Verdict
from worker.documents.reading import read_all
from worker.settings import settings
from worker.submission.lines import MAX_ANSWER_CHARS, MAX_PROMPT_CHARS, Line, ReferenceDocument
from worker.submission.problems import LineProblem

verify = typer.Typer(help="Judge claims without any service.", no_args_is_help=True)

Timeout = Annotated[float, typer.Option("--timeout", min=0.01, help="CPU seconds for one claim.")]
Model = Annotated[
    str | None,
    typer.Option("--model", help="A pulled model's name or a folder, in place of MERGEREASONER_NLI_MODEL."),
]
LONGER = (
    100  # times what a task line may hold: a claim too long for its verifier is an abstention, not a bad line
)


class ClaimLine(Line):
    """One claim of any kind."""

    id: str | int


LineT = TypeVar("LineT", bound=ClaimLine)


class MathLine(ClaimLine):
    """One claim for ``verify math``: an equality, conditions on an answer, or the steps of a text."""

    gold: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * LONGER)] | None = None
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARS * LONGER)] | None = None
    collection: Collection = "set"
    conditions: Annotated[list[str], Field(min_length=1)] | None = None
    unknowns: list[str] = Field(default_factory=list)
    text: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)] | None = None

    @model_validator(mode="after")
    def _is_one_claim(self) -> MathLine:
        given = {name for name in ("gold", "answer", "conditions", "text") if getattr(self, name) is not None}
        if given not in ({"gold", "answer"}, {"answer", "conditions"}, {"text"}):
            raise ValueError(
                'is no claim: give "gold" and "answer", or "answer" and "conditions" (and "unknowns"), or "text" alone'
            )
        if self.unknowns and self.conditions is None:
            raise ValueError("has unknowns without conditions: add conditions, or remove unknowns")
        if self.collection != "set" and self.gold is None:
            raise ValueError("has a collection without a gold: add gold, or remove collection")
        return self

    @property
    def claim(self) -> MathClaim:
        """What the verifier is asked."""
        if self.conditions is not None:
            return SatisfiesClaim(
                answer=self.answer or "", conditions=self.conditions, unknowns=self.unknowns
            )
        if self.text is not None:
            return StepsClaim(text=self.text)
        return EqualityClaim(gold=self.gold or "", answer=self.answer or "", collection=self.collection)


class CodeLine(ClaimLine):
    """One claim for ``verify code``."""

    program: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    tests: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    entry_point: Annotated[str, Field(max_length=200)] | None = None
    language: str = "python"
    files: dict[str, str] = Field(default_factory=dict)
    known_good: str | None = None
    seed: int = 0
    inner: Literal["never", "allowed"] = "never"


class EntailmentLine(ClaimLine):
    """One claim for ``verify entailment``."""

    premise: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    hypothesis: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    both_directions: bool = False


class FactsLine(ClaimLine):
    """One claim for ``verify facts``."""

    statement: Annotated[str, Field(max_length=MAX_PROMPT_CHARS * LONGER)]
    documents: list[ReferenceDocument] | None = None
    """Its own; those of ``--documents`` when left out."""


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
    """Judge mathematics: whether answers are equal, satisfy conditions, or a text's arithmetic is right.

    Lines of {"id", "gold", "answer", "collection"?}, {"id", "answer", "conditions", "unknowns"?} or {"id", "text"}.

    Example:

        merge-reasoner verify math claims.jsonl
    """
    from verifiers.math.verifier import MathVerifier  # noqa: PLC0415 (a command loads its own verifier only)

    _judge_file(
        file,
        MathLine,
        lambda line: line.claim,
        MathVerifier,
        timeout_s=timeout_s,
    )


@verify.command("code")
def verify_code(file: File, timeout_s: Timeout = 10.0) -> None:
    """Judge whether programs pass their tests: lines of {"id", "program", "tests", "entry_point"?}.

    Also "files", "known_good", "seed", "language" and "inner"; the forms of tests are in docs/code-tests.md.

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


@verify.command("entailment")
def verify_entailment(
    file: File,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.01, help="Seconds for one claim once the model works on it.")
    ] = 30.0,
    model: Model = None,
) -> None:
    """Judge whether premises support hypotheses: lines of {"id", "premise", "hypothesis", "both_directions"?}.

    With both_directions the claim is that the two say the same. Needs `make entailment` once.

    Example:

        merge-reasoner verify entailment claims.jsonl
    """
    from verifiers.entailment.verifier import EntailmentVerifier  # noqa: PLC0415 (likewise)
    from worker.models.nli import nli_of  # noqa: PLC0415 (likewise)

    here = settings()
    _judge_file(
        file,
        EntailmentLine,
        lambda line: EntailmentClaim(**line.model_dump(exclude={"id"})),
        lambda: EntailmentVerifier(nli_of(model or here.nli_model, here.models_dir)),
        timeout_s=timeout_s,
    )


@verify.command("facts")
def verify_facts(
    file: File,
    documents: Annotated[
        list[Path] | None,
        typer.Option(
            "--documents",
            help="Documents for every line without its own, as for `docs add`; may be repeated.",
        ),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds for one claim.")] = 60.0,
    model: Model = None,
) -> None:
    """Judge whether documents support statements: lines of {"id", "statement", "documents"?: [{"id", "text"}]}.

    Needs `make entailment` once; searches by meaning, too, where `make embedding` was done.

    Examples:

        merge-reasoner verify facts claims.jsonl

        merge-reasoner verify facts claims.jsonl --documents handbook.jsonl
    """
    from verifiers.facts.memory import MemoryRetriever  # noqa: PLC0415 (likewise)
    from verifiers.facts.verifier import FactsVerifier  # noqa: PLC0415 (likewise)
    from worker.embedders.shelf import embedder_if_here  # noqa: PLC0415 (likewise)
    from worker.judging.facts import bars_of, cut  # noqa: PLC0415 (likewise)
    from worker.models.nli import nli_of  # noqa: PLC0415 (likewise)

    with told():
        here = settings()
        given = list(_good_documents(documents or [], max_bytes=here.max_line_bytes))
        nli = nli_of(model or here.nli_model, here.models_dir)
        embedder, why = embedder_if_here(here.models_dir)
        shared = MemoryRetriever(cut(given), model=embedder, why_no_model=why)

    def claim_of(line: FactsLine) -> SupportClaim:
        source = shared if line.documents is None else cut(line.documents)
        return SupportClaim(statement=line.statement, source=source)

    try:
        _judge_file(
            file,
            FactsLine,
            claim_of,
            lambda: FactsVerifier(nli, embedder=embedder, bars=lambda: bars_of(nli), why_no_embedder=why),
            timeout_s=timeout_s,
        )
    finally:
        nli.close()


def _good_documents(files: Sequence[Path], *, max_bytes: int) -> Iterator[ReferenceDocument]:
    """Yield the documents of the files; one that is wrong ends the command, since verdicts would be without it."""
    for found in read_all(files, max_bytes=max_bytes):
        if isinstance(found, LineProblem):
            raise fail(str(found))
        yield found


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
