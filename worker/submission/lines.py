"""The task line: what a producer may write, field by field."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reasoner.relations import COSINE

MAX_PROMPT_CHARS = 200_000  # far beyond any model's context; protects the database, not the model
MAX_ANSWER_CHARS = 100_000
MAX_CHAINS = 256
DEFAULT_MODEL = "default"
"""The model of the generation worker's settings."""
MAX_CHAIN_TOKENS = (
    8_000_000  # far beyond any context; as many chains as a task may have still sum up to an int4
)

Kind = Literal["math", "code", "diagnosis", "qa", "text"]
Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]
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
    language: Literal["python"] = "python"
    files: Annotated[dict[str, Text], Field(max_length=30)] = {}
    """More files of the program, by relative path."""

    known_good: Text | None = None
    """A right program: the tests count only if they pass it and fail its mutants. Never shown to a model."""

    seed: int = 0
    """Of the random numbers that tests and program draw."""


class MathVerification(Line):
    """Compare each answer with a reference answer."""

    verifier: Literal["math"]
    reference: Annotated[str, Field(min_length=1, max_length=MAX_ANSWER_CHARS)]
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0


Verification = Annotated[CodeVerification | MathVerification, Field(discriminator="verifier")]


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
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 512
    """Of one chain; where it is left out, an equal share of the budget if that is less."""

    token_budget: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Of all chains of the task together; k chains of ``max_tokens`` must fit in."""

    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=4)] = []
    """Words that end a chain and are left out of it."""

    equivalence: Literal["exact", "symbolic", "behavioural", "embedding"] | None = None
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
        if self.options.equivalence == "embedding" and self.kind in {"math", "code"}:
            instead = "symbolic" if self.kind == "math" else "behavioural"
            raise ValueError(
                f"options.equivalence embedding is not for kind {self.kind}, whose different answers read alike: "
                f'write "{instead}", or leave it out'
            )
        return self

    @field_validator("metadata")
    @classmethod
    def _is_storable(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        if _has_unstorable_number(metadata):
            raise ValueError("holds a number that JSON cannot keep: write NaN and infinities as strings")
        return metadata

    @model_validator(mode="after")
    def _has_one_source(self) -> TaskLine:
        if self.chains is not None and self.candidates is not None:
            raise ValueError("give chains or candidates, not both")
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give prompt or messages, not both")
        if self.is_given or self.prompt is not None or self.messages is not None:
            return self
        raise ValueError("a prompt is missing: give prompt or messages (or chains, or candidates)")

    @property
    def is_given(self) -> bool:
        """Whether the task brings its chains, so that nothing has to be sampled."""
        return self.chains is not None or self.candidates is not None

    @property
    def labels(self) -> list[str]:
        """Every answer that counts as right; empty when the truth is not known."""
        if self.label is None:
            return []
        return self.label if isinstance(self.label, list) else [str(self.label)]


def _has_unstorable_number(value: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        return any(_has_unstorable_number(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unstorable_number(item) for item in value)
    return isinstance(value, float) and not math.isfinite(value)
