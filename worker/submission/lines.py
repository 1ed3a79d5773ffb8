"""The task line: what a producer may write, field by field."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reasoner.relations import COSINE
from verifiers.claims import Collection
from worker.times import PointInTime

MAX_PROMPT_CHARS = 200_000  # far beyond any model's context; protects the database, not the model
MAX_ANSWER_CHARS = 100_000
MAX_CHAINS = 256
MAX_CONDITIONS = 50
MAX_ID_CHARS = 200
MAX_DOCUMENTS = 200  # of one task; more belong into a collection
DEFAULT_MODEL = "default"
"""The model of the generation worker's settings."""
MAX_CHAIN_TOKENS = (
    8_000_000  # far beyond any context; as many chains as a task may have still sum up to an int4
)

ProgramLanguage = Literal["python", "javascript"]
Kind = Literal["math", "code", "diagnosis", "qa", "text"]
Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
Condition = Annotated[str, Field(min_length=1, max_length=4_000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Share = Annotated[float, Field(ge=0, le=1)]


class Line(BaseModel):
    """Strict: a wrong type is an error, never a guess, and an unknown field is one too."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Turn(Line):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class CodeVerification(Line):
    """Run each program against unit tests in the sandbox."""

    verifier: Literal["code"]
    tests: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    entry_point: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    language: ProgramLanguage = "python"
    files: Annotated[dict[str, Text], Field(max_length=30)] = {}
    """More files of the program, by relative path."""

    known_good: Text | None = None
    """A right program: the tests count only if they pass it and fail its mutants. Never shown to a model."""

    seed: int = 0
    """Of the random numbers that tests and program draw."""

    inner: Literal["never", "allowed"] = "never"
    """Whether tests that need the program's internals may run in its process, where a pass can be forged."""


class MathVerification(Line):
    """Compare each answer with a reference, put it into conditions, or check the arithmetic of its chains."""

    verifier: Literal["math"]
    reference: Annotated[str, Field(min_length=1, max_length=MAX_ANSWER_CHARS)] | None = None
    collection: Collection = "set"
    """Whether repetitions count in a reference of several values (``multiset``), and their order too (``list``)."""

    conditions: Annotated[list[Condition], Field(min_length=1, max_length=MAX_CONDITIONS)] | None = None
    """LaTeX or plain text; the answer must satisfy them all."""

    unknowns: Annotated[list[Name], Field(max_length=MAX_CONDITIONS)] = []
    """The names in the conditions, in the order of an answer like ``(3, 4)``."""

    steps: bool = False
    """Check every equality that the chains state."""

    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0

    @model_validator(mode="after")
    def _asks_one_thing(self) -> MathVerification:
        n_asked = (self.reference is not None) + (self.conditions is not None) + self.steps
        if n_asked != 1:
            problem = "asks nothing" if n_asked == 0 else "asks several things at once"
            raise ValueError(
                f'{problem}: give one of "reference", "conditions" and "steps": true; '
                "for several, add a verification each"
            )
        if self.unknowns and self.conditions is None:
            raise ValueError("has unknowns without conditions: add conditions, or remove unknowns")
        if self.collection != "set" and self.reference is None:
            raise ValueError("has a collection without a reference: add a reference, or remove collection")
        return self


ANSWER = "{answer}"
"""Where a template has the answer."""


class EntailmentVerification(Line):
    """Ask whether a text supports each answer or contradicts it."""

    verifier: Literal["entailment"]
    premise: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    hypothesis: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ANSWER
    """What is said of the premise when ``{answer}`` is the answer."""

    timeout_s: Annotated[float, Field(ge=1, le=300)] = 30.0
    """At least 1: the model is unloaded when it takes longer, and everybody waits until it is back."""

    @field_validator("hypothesis")
    @classmethod
    def _has_a_place(cls, hypothesis: str) -> str:
        if ANSWER not in hypothesis:
            raise ValueError(f"has no {ANSWER}: every answer would be the same claim")
        return hypothesis


class ReferenceDocument(Line):
    """One document that statements are checked against."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]
    text: Annotated[str, Field(min_length=1)]
    """As long as a line may be."""

    title: Annotated[str, Field(max_length=1000)] = ""
    """Searched and judged together with every passage of the text."""

    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("metadata")
    @classmethod
    def _is_storable(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        return storable_metadata(metadata)


class FactsVerification(Line):
    """Check what each answer states against reference documents: the task's own, or a collection."""

    verifier: Literal["facts"]
    statement: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ANSWER
    """What is checked; ``{answer}`` stands for the answer."""

    documents: Annotated[list[ReferenceDocument], Field(min_length=1, max_length=MAX_DOCUMENTS)] | None = None
    collection: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0

    @model_validator(mode="after")
    def _has_one_source(self) -> FactsVerification:
        if (self.documents is None) == (self.collection is None):
            raise ValueError("needs documents to check against: give either documents or collection")
        ids = [document.id for document in self.documents or ()]
        repeated = next((one for i, one in enumerate(ids) if one in ids[:i]), None)
        if repeated is not None:
            raise ValueError(f'has two documents "{repeated[:80]}": give every document an id of its own')
        return self

    @field_validator("statement")
    @classmethod
    def _is_about_the_answer(cls, statement: str) -> str:
        if ANSWER not in statement:
            raise ValueError("says the same whatever the answer: write {answer} where the answer belongs")
        return statement


Verification = Annotated[
    CodeVerification | EntailmentVerification | FactsVerification | MathVerification,
    Field(discriminator="verifier"),
]


class GivenChain(Line):
    """A chain that was sampled elsewhere."""

    text: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARS)] | None = None
    """Leave it out to have it extracted from the text; null says that there is none."""

    logprob: Annotated[float, Field(le=0)] | None = None
    n_tokens: Annotated[int, Field(gt=0, le=MAX_CHAIN_TOKENS)] | None = None
    model: Annotated[str, Field(max_length=200)] = "default"

    @property
    def extracts(self) -> bool:
        """Whether the answer is to be taken from the text."""
        return "answer" not in self.model_fields_set


class Options(Line):
    """How one task is sampled, merged and decided; what is left out comes from the kind."""

    k: Annotated[int, Field(ge=1, le=64)] = 8
    models: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=16)
    ] = [DEFAULT_MODEL]
    """Names of the pool; chains are shared out evenly."""

    early_exit: Literal["none", "paper", "lossless", "adaptive"] = "lossless"
    min_confirmations: Annotated[int, Field(ge=0, le=10)] = 0
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    not_before: Annotated[PointInTime, Field(strict=False)] | None = None
    """When generation may begin, with its offset from UTC."""

    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 512
    """Of one chain; where it is left out, an equal share of the budget if that is less."""

    token_budget: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Of all chains of the task together; k chains of ``max_tokens`` must fit in."""

    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=4)] = []
    """Words that end a chain and are left out of it."""

    equivalence: Literal["exact", "symbolic", "behavioural", "embedding", "entailment"] | None = None
    cosine: Share = COSINE
    """Least cosine of two answers that are the same, under the equivalence ``embedding``."""

    linkage: Literal["single", "complete", "guarded"] = "single"
    require_heterogeneous: bool = False
    set_rule: Literal["threshold", "top_k", "coverage", "score"] | None = None
    """None is the mode's own: threshold in merge, top_k in spread."""

    set_k: Annotated[int, Field(ge=1, le=64)] | None = None
    set_alpha: Share = 0.9
    lambda_: Share | None = Field(default=None, alias="lambda")
    tau_margin: Share | None = None
    tau_conf: Share | None = None
    tau_score: Share | None = None

    @field_validator("models")
    @classmethod
    def _names_each_once(cls, models: list[str]) -> list[str]:
        if len(set(models)) < len(models):
            raise ValueError("names a model twice: name each once")
        return models


# One frozen object for all lines without options: pydantic would copy a plain default, deeply, for every line.
DEFAULT_OPTIONS = Options()


class TaskLine(Line):
    """One reasoning task as submitted."""

    custom_id: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Kind
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)] | None = None
    messages: Annotated[list[Turn], Field(min_length=1, max_length=200)] | None = None
    mode: Literal["merge", "spread"] = "merge"
    options: Options = Field(default_factory=lambda: DEFAULT_OPTIONS)
    verify: Annotated[list[Verification], Field(default_factory=list, max_length=10)]
    domain: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    label: str | int | float | list[str] | None = None
    """The truth, when it is known: for calibration, never shown to a model or used in the decision."""

    chains: Annotated[list[GivenChain], Field(min_length=1, max_length=MAX_CHAINS)] | None = None
    candidates: (
        Annotated[
            list[Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]],
            Field(min_length=1, max_length=MAX_CHAINS),
        ]
        | None
    ) = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_told_apart_by_meaning(self) -> TaskLine:
        meaning = self.options.equivalence
        if meaning in {"embedding", "entailment"} and self.kind in {"math", "code"}:
            instead = "symbolic" if self.kind == "math" else "behavioural"
            raise ValueError(
                f"options.equivalence {meaning} is not for kind {self.kind}, whose different answers read alike: "
                f'write "{instead}", or leave it out'
            )
        return self

    @field_validator("metadata")
    @classmethod
    def _is_storable(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        return storable_metadata(metadata)

    @model_validator(mode="after")
    def _has_one_source(self) -> TaskLine:
        if self.chains is not None and self.candidates is not None:
            raise ValueError("give chains or candidates, not both")
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give prompt or messages, not both")
        if self.is_given or self.prompt is not None or self.messages is not None:
            return self
        raise ValueError("a prompt is missing: give prompt or messages (or chains, or candidates)")

    @model_validator(mode="after")
    def _is_in_one_language(self) -> TaskLine:
        if len({spec.language for spec in self.verify if isinstance(spec, CodeVerification)}) > 1:
            raise ValueError(
                "the code verifications name different languages: write one task for each language"
            )
        return self

    @property
    def language(self) -> str:
        """The language of the programs that the task is about."""
        return next((spec.language for spec in self.verify if isinstance(spec, CodeVerification)), "python")

    @property
    def is_given(self) -> bool:
        """Whether the task brings its chains, so that nothing has to be sampled."""
        return self.chains is not None or self.candidates is not None

    @property
    def collections(self) -> list[tuple[int, str]]:
        """The collections it names, each with the place of the verification that does."""
        facts = [(i, spec) for i, spec in enumerate(self.verify) if isinstance(spec, FactsVerification)]
        return [(i, spec.collection) for i, spec in facts if spec.collection is not None]

    @property
    def labels(self) -> list[str]:
        """Every answer that counts as right; empty when the truth is not known."""
        if self.label is None:
            return []
        return self.label if isinstance(self.label, list) else [str(self.label)]


def storable_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return ``metadata`` as it is.

    Raises:
        ValueError: It holds a number that JSON has no word for.
    """
    if _has_unstorable_number(metadata):
        raise ValueError("holds a number that JSON cannot keep: write NaN and infinities as strings")
    return metadata


def _has_unstorable_number(value: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        return any(_has_unstorable_number(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unstorable_number(item) for item in value)
    return isinstance(value, float) and not math.isfinite(value)
