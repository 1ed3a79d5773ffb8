"""The engine for machines without a GPU: a small model on llama.cpp, chains decoded together."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.engines.cancellation import cancellation_of
from worker.engines.llama_server import LlamaServer, Messages
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    FinishReason,
    Health,
    Message,
    SampledChain,
    Score,
    ScoreRequest,
)
from worker.engines.slots import Slots
from worker.errors import EngineUnavailableError, PromptTooLongError, RequestRefusedError

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class LlamaCppEngine:
    """Samples from a GGUF model; ``n_parallel`` chains are decoded together and the rest wait in order.

    A chain alone in the engine depends on its prompt, seed and temperature only. One decoded together with others
    may differ from itself alone in the last bits of its logits, and so, now and then, in its words.

    The sampler is llama.cpp's default before the temperature: top-k 40, top-p 0.95, min-p 0.05. Logprobs are those
    of the model itself, before any of that.

    Args:
        model_file: Weights in GGUF.
        model: Name that stands on every chain.
        n_parallel: Chains decoded together.
        context_tokens: Room for one chain: prompt and answer.
        n_threads: Of the processor; by default all that this process may use.
        log_file: Where llama.cpp tells why a model does not load.

    Raises:
        ConfigurationError: The file is missing or no GGUF.
        EngineUnavailableError: llama.cpp cannot load it.
    """

    def __init__(
        self,
        model_file: Path,
        *,
        model: str,
        n_parallel: int = 8,
        context_tokens: int = 4096,
        n_threads: int | None = None,
        log_file: Path | None = None,
    ) -> None:
        self._model = model
        self._server = LlamaServer(
            model_file,
            n_slots=n_parallel,
            context_tokens=context_tokens,
            n_threads=n_threads or _usable_cores(),
            log_file=log_file,
        )
        with model_file.open("rb") as file:
            self._revision = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self._slots = Slots(self._server, n_parallel)
        self._threads = ThreadPoolExecutor(n_parallel, thread_name_prefix="llamacpp-slot")
        self._closed = threading.Event()
        self._capabilities = Capabilities(
            logprobs=True,
            seeds=True,
            scores=True,
            structured=True,
            max_context_tokens=self._server.context_tokens,
            concurrency=n_parallel,
        )

    @property
    def name(self) -> str:
        """Engine name."""
        return "llamacpp"

    @property
    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return self._capabilities

    def sample(
        self,
        task_id: str,  # noqa: ARG002 - the protocol's; nothing here is kept by task
        requests: list[ChainRequest],
    ) -> Generator[SampledChain, None, None]:
        """Yield chains as they finish; see the protocol.

        Raises:
            PromptTooLongError: A prompt with its ``max_tokens`` exceeds the context; nothing was begun.
            RequestRefusedError: The model's template refuses the messages.
            EngineUnavailableError: The engine is closed or failed.
            SamplingCancelledError: The requests were cancelled under way.
        """
        if self._closed.is_set():
            raise EngineUnavailableError("the llamacpp engine is closed")
        prompts: dict[tuple[object, ...], str] = {}
        for request in requests:
            if request.messages not in prompts:
                prompts[request.messages] = self._server.render(_plain(request.messages))
            self._check_length(prompts[request.messages], request.max_tokens)
        return self._run([(request, prompts[request.messages]) for request in requests])

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return how likely the model finds each text; see the protocol.

        llama.cpp tells no logprobs of a prompt, so the model is made to write the text by a grammar that allows
        its tokens and nothing else.
        """
        if self._closed.is_set():
            raise EngineUnavailableError("the llamacpp engine is closed")
        jobs = []
        for request in requests:
            if not request.text:
                raise RequestRefusedError("an empty text has no score")
            prompt = self._server.render(_plain(request.messages))
            tokens = self._server.tokens_of(request.text)
            self._check_length(prompt, len(tokens))
            jobs.append((request, prompt, tokens))
        try:
            return list(self._threads.map(lambda job: self._score(*job), jobs))
        except RuntimeError as error:  # the pool is shut down
            raise EngineUnavailableError("the llamacpp engine is closed") from error

    def health(self) -> Health:
        """Return whether the server inside answers; never raises."""
        fault = "closed" if self._closed.is_set() else self._server.fault()
        facts = {
            "model": self._model,
            "revision": self._revision,
            "slots": str(self._capabilities.concurrency),
        }
        return Health(ok=not fault, detail=fault, facts=facts)

    def close(self) -> None:
        """Stop what is under way and free the model."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._threads.shutdown(cancel_futures=True)
        self._server.close()

    def _check_length(self, prompt: str, max_tokens: int) -> None:
        limit = self._capabilities.max_context_tokens
        n_prompt = self._server.count_tokens(prompt)
        if n_prompt + max_tokens > limit:
            raise PromptTooLongError(
                f"the prompt has {n_prompt} tokens and may be answered with {max_tokens}, "
                f"but the context holds {limit}; shorten the prompt or lower max_tokens"
            )

    def _run(self, jobs: list[tuple[ChainRequest, str]]) -> Generator[SampledChain, None, None]:
        cancelled, cancellation = threading.Event(), cancellation_of([request for request, _ in jobs])
        try:
            futures = [self._threads.submit(self._chain, *job, cancelled) for job in jobs]
        except RuntimeError as error:  # the pool is shut down
            raise EngineUnavailableError("the llamacpp engine is closed") from error

        def abort() -> None:
            cancelled.set()
            for future in futures:
                future.cancel()

        try:
            with cancellation.telling(abort):
                for future in as_completed(futures):
                    cancellation.check()
                    yield _result(future)
        finally:  # also when the caller closes the iterator
            abort()

    def _score(self, request: ScoreRequest, prompt: str, tokens: Sequence[int]) -> Score:
        messages = _plain(request.messages)
        answer = _Answer()

        def on_chunk(chunk: dict[str, Any]) -> bool:
            answer.add(chunk)
            return self._closed.is_set()

        with self._slots.holding(prompt, messages) as slot:
            self._server.stream(slot, _body_of_score(tokens, messages), on_chunk)
        if self._closed.is_set():
            raise EngineUnavailableError("the llamacpp engine was closed under way")
        if "".join(answer.texts) != request.text:
            raise RequestRefusedError("the model cannot write this text: it holds no such tokens")
        return Score(logprob=sum(answer.logprobs), n_tokens=len(answer.logprobs))

    def _chain(self, request: ChainRequest, prompt: str, cancelled: threading.Event) -> SampledChain:
        messages = _plain(request.messages)
        with self._slots.holding(prompt, messages) as slot:
            answer = _Answer()

            def on_chunk(chunk: dict[str, Any]) -> bool:
                answer.add(chunk)
                return cancelled.is_set() or self._closed.is_set()

            started = time.monotonic()
            self._server.stream(slot, _body(request, messages), on_chunk)
            latency_s = time.monotonic() - started
        if self._closed.is_set():
            raise EngineUnavailableError("the llamacpp engine was closed under way")
        return SampledChain(
            index=request.index,
            text="".join(answer.texts),
            logprob=sum(answer.logprobs),
            n_tokens=len(answer.logprobs),
            finish_reason=FINISH_REASONS.get(answer.finish_reason, FinishReason.ERROR),
            model=self._model,
            revision=self._revision,
            latency_s=latency_s,
        )


class _Answer:
    """What has come of one chain so far."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        # One per token of text. Of a character made of several tokens (an emoji) llama.cpp tells only one; the
        # end-of-turn token, which is no text, has none. Sum and count leave out the same tokens.
        self.logprobs: list[float] = []
        self.finish_reason = ""

    def add(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices", []):
            self.texts.append(choice.get("delta", {}).get("content") or "")
            tokens = (choice.get("logprobs") or {}).get("content") or []
            self.logprobs += [token["logprob"] for token in tokens]
            self.finish_reason = choice.get("finish_reason") or self.finish_reason


def _body(request: ChainRequest, messages: Messages) -> dict[str, object]:
    shape = {} if request.json_schema is None else {"json_schema": json.loads(request.json_schema)}
    return {
        **shape,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": list(request.stop),
        "logprobs": True,
        "top_logprobs": 1,  # of the alternatives, which nobody reads; 0 would turn logprobs off
        "cache_prompt": True,
    }


def _body_of_score(tokens: Sequence[int], messages: Messages) -> dict[str, object]:
    return {
        "messages": messages,
        "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in tokens),
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 1,
        "cache_prompt": True,
    }


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _result(future: Future[SampledChain]) -> SampledChain:
    try:
        return future.result()
    except CancelledError as error:
        raise EngineUnavailableError("the llamacpp engine was closed under way") from error


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container may be given fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if TYPE_CHECKING:
    _conforms: type[Engine] = LlamaCppEngine
