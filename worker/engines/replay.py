"""An engine that plays recorded chains: for tests, and for users who sampled elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.engines.cancellation import Cancellation, cancellation_of
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    FinishReason,
    Health,
    SampledChain,
    Score,
    ScoreRequest,
    refuse_schemas,
)
from worker.errors import ConfigurationError, EngineUnavailableError, RequestRefusedError

NO_CONTEXT_LIMIT = 2**31


class RecordedChain(BaseModel):
    """One chain as a recording holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    logprob: float | None = Field(default=None, le=0.0)
    """Sum over the chain's tokens, in nats."""

    n_tokens: int | None = Field(default=None, ge=0, le=8_000_000)
    """Number of tokens; where the recording doesn't know, the number of words stands in."""

    finish_reason: FinishReason = FinishReason.STOP
    model: str = "recorded"


class RecordedPrompt(BaseModel):
    """One line of a recording: a prompt and the chains that were sampled for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    chains: tuple[RecordedChain, ...]


class ReplayEngine:
    """Plays recorded chains, looked up by the last user message; ``request.index`` picks the chain.

    Args:
        chains_by_prompt: The recording.
        latency_s: Pause before each chain, for tests of what happens meanwhile.
        revision: What pins the recording down.
    """

    def __init__(
        self,
        chains_by_prompt: Mapping[str, Sequence[RecordedChain]],
        *,
        latency_s: float = 0.0,
        revision: str = "recorded",
    ) -> None:
        self._chains_by_prompt = chains_by_prompt
        self._latency_s = latency_s
        self._revision = revision
        self._closing = Cancellation()  # of everything

    @classmethod
    def from_file(cls, path: Path, *, latency_s: float = 0.0) -> ReplayEngine:
        """Return an engine that plays ``path``: one ``{"prompt": ..., "chains": [...]}`` a line.

        Lines of the same prompt are joined in their order, so one line may hold all chains or one.

        Raises:
            ConfigurationError: The file cannot be read, or a line of it is malformed.
        """
        recording: dict[str, list[RecordedChain]] = {}
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        recorded = _parse(line, where=f"{path}, line {number}")
                        recording.setdefault(recorded.prompt, []).extend(recorded.chains)
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the recorded chains of {path}: {error.strerror}"
            ) from error
        return cls(recording, latency_s=latency_s, revision=path.name)

    @property
    def name(self) -> str:
        """Engine name."""
        return "replay"

    @property
    def capabilities(self) -> Capabilities:
        """Return what a recording can promise: the same request always gets the same chain."""
        return Capabilities(
            logprobs=all(c.logprob is not None for chains in self._chains_by_prompt.values() for c in chains),
            seeds=True,
            max_context_tokens=NO_CONTEXT_LIMIT,
            concurrency=64,
        )

    def sample(
        self,
        task_id: str,  # noqa: ARG002 - the protocol's; a recording is looked up by prompt
        requests: list[ChainRequest],
    ) -> Generator[SampledChain, None, None]:
        """Yield the recorded chains in the order of the requests.

        Raises:
            RequestRefusedError: The recording has no such prompt, or too few chains for it.
            EngineUnavailableError: The engine is closed.
            SamplingCancelledError: The requests were cancelled under way.
        """
        if self._closing.is_given:
            raise EngineUnavailableError("the replay engine is closed")
        refuse_schemas(self.name, requests)
        found = [(request.index, self._find(request)) for request in requests]
        return self._play(found, cancellation_of(requests))

    def score(
        self,
        requests: Sequence[ScoreRequest],  # noqa: ARG002 - the protocol's
    ) -> list[Score]:
        """Refuse: a recording has no model to ask.

        Raises:
            RequestRefusedError: Always.
        """
        raise RequestRefusedError("the replay engine plays recordings and cannot score a text")

    def health(self) -> Health:
        """Return whether it is open."""
        if self._closing.is_given:
            return Health(ok=False, detail="closed")
        return Health(ok=True, facts={"prompts": str(len(self._chains_by_prompt))})

    def close(self) -> None:
        """End; chains under way raise ``EngineUnavailableError``."""
        self._closing.give()

    def _find(self, request: ChainRequest) -> RecordedChain:
        spoken = [message.content for message in request.messages if message.role == "user"]
        chains = self._chains_by_prompt.get(spoken[-1]) if spoken else None
        if chains is None:
            start = f": {spoken[-1][:80]!r}" if spoken else ", since the request has no user message"
            raise RequestRefusedError(f"no chains are recorded for this prompt{start}")
        if not 0 <= request.index < len(chains):
            raise RequestRefusedError(
                f"chain {request.index} was asked for, but only {len(chains)} are recorded "
                f"for the prompt {spoken[-1][:80]!r}"
            )
        return chains[request.index]

    def _play(
        self, found: list[tuple[int, RecordedChain]], cancellation: Cancellation
    ) -> Generator[SampledChain, None, None]:
        for index, chain in found:
            self._pause(cancellation)
            yield SampledChain(
                index=index,
                text=chain.text,
                logprob=chain.logprob,
                n_tokens=len(chain.text.split()) if chain.n_tokens is None else chain.n_tokens,
                finish_reason=chain.finish_reason,
                model=chain.model,
                revision=self._revision,
                latency_s=self._latency_s,
            )

    def _pause(self, cancellation: Cancellation) -> None:
        ended = threading.Event()
        with cancellation.telling(ended.set), self._closing.telling(ended.set):
            ended.wait(self._latency_s)
        cancellation.check()
        if self._closing.is_given:
            raise EngineUnavailableError("the replay engine was closed under way")


def _parse(line: bytes, *, where: str) -> RecordedPrompt:
    try:
        return RecordedPrompt.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the line"
        raise ConfigurationError(f"{where}: {field}: {first['msg']}") from error


if TYPE_CHECKING:
    _conforms: type[Engine] = ReplayEngine
