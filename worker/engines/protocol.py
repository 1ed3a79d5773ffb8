"""What a stage may ask of an engine, whichever library answers."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from worker.engines.cancellation import Cancellation
from worker.errors import RequestRefusedError


class FinishReason(StrEnum):
    """Why a chain ended."""

    STOP = "stop"
    LENGTH = "length"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of the conversation that stands before the chain."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRequest:
    """One chain to sample."""

    index: int
    """Position among the task's k chains, from 0."""

    messages: tuple[Message, ...]
    seed: int
    temperature: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    model: str = "default"
    """Which model of a pool is to sample it; an engine with one model doesn't read it."""

    variant: str = ""
    """Name of the prompt variant, for the record; no engine reads it."""

    json_schema: str | None = None
    """JSON text of the schema that the chain must follow; an engine that cannot hold a model to it refuses."""

    cancellation: Cancellation | None = field(default=None, compare=False, repr=False)
    """Where it is said that the chain is no longer wanted; the requests of one call share it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a chain's text."""

    text: str
    logprob: float
    """In nats, before temperature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledChain:
    """One chain as an engine returned it."""

    index: int
    text: str
    logprob: float | None
    """Sum of the sampled tokens' logprobs in nats, before temperature; ``None`` if the engine gives none."""

    n_tokens: int
    finish_reason: FinishReason
    model: str
    revision: str
    """What pins the weights down: a sha256 prefix, a hub revision, or the server's word."""

    latency_s: float
    engine: str | None = None
    """Which engine sampled it, where that is not the one that was asked: a pool asks others."""

    tokens: tuple[Token, ...] = ()
    """Of a chain that follows a schema, from an engine that cannot score: what its parts are weighed by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """A text that somebody gives, to be weighed as if the model had written it."""

    messages: tuple[Message, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How likely the model finds a given text: M.Score of Algorithm 2 is exp(logprob / n_tokens)."""

    logprob: float
    """Sum over the text's tokens in nats, before any temperature; the end of the turn is not counted."""

    n_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine promises, declared so that a request it cannot honour is refused, not approximated."""

    logprobs: bool
    seeds: bool
    """A chain's seed is honoured."""

    scores: bool = False
    """``score`` answers."""

    structured: bool = False
    """A chain follows the request's ``json_schema``."""

    max_context_tokens: int
    concurrency: int
    """How many chains it works on at once; more wait inside the engine."""

    models: frozenset[str] = frozenset({"default"})
    """Names that a request's ``model`` may have."""

    members: Mapping[str, Capabilities] = field(default_factory=dict, hash=False)
    """What a pool's models promise, those that stand here; the others promise what the whole does."""

    def of(self, model: str) -> Capabilities:
        """Return what one of the models promises."""
        return self.members.get(model, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether an engine can answer now."""

    ok: bool
    detail: str = ""
    """What is wrong, with the whole or with a part of it."""

    lost: bool = False
    """Only a fresh process can mend it: what this one would wait for never comes."""

    facts: dict[str, str] = field(default_factory=dict)


def refuse_schemas(engine: str, requests: Sequence[ChainRequest]) -> None:
    """Refuse what an engine without structured output cannot honour.

    Raises:
        RequestRefusedError: A request has a schema.
    """
    if any(request.json_schema is not None for request in requests):
        raise RequestRefusedError(f"the {engine} engine cannot hold a chain to a JSON schema")


class Engine(Protocol):
    """Samples chains; batching is its own job, and every method is safe to call from any thread."""

    @property
    def name(self) -> str:
        """Engine name, as it stands on every chain."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it promises."""
        ...

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        """Yield every chain that was asked for as it finishes, in any order; closing the generator aborts the rest.

        Raises:
            PromptTooLongError: A prompt with its ``max_tokens`` exceeds the context.
            RequestRefusedError: The engine cannot honour a request.
            EngineUnavailableError: The engine is down or died under way.
            SamplingCancelledError: The requests were cancelled; what was under way is aborted.
        """
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return how likely the model finds each text, in order.

        Raises:
            PromptTooLongError: A prompt with its text exceeds the context.
            RequestRefusedError: This engine does not score (see the capabilities), or a text is empty.
            EngineUnavailableError: The engine is down or died under way.
        """
        ...

    def health(self) -> Health:
        """Return whether it can answer now; never raises."""
        ...

    def close(self) -> None:
        """Free the model; later calls raise ``EngineUnavailableError``."""
        ...
