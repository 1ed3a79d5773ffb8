"""The engine on the transformers library: for models that vLLM does not know, and for machines without it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import torch
import transformers

from worker.engines.cancellation import cancellation_of
from worker.engines.decoding import Decoder, Row, uniforms_of
from worker.engines.folders import revision_of
from worker.engines.prompts import Prompts
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
from worker.errors import ConfigurationError, EngineUnavailableError, SamplingCancelledError

LINGER_S = (
    0.01  # after the first chain of a batch: those of other tasks that come meanwhile are decoded with it
)


class TransformersEngine:
    """Samples with a model of the transformers library, in micro-batches.

    Chains that wait are decoded together, up to ``n_parallel``; each leaves the batch when it ends, and the next
    batch begins when the last one has. Chains of one prompt share its reading.

    A chain alone depends on its prompt, seed and temperature only; in a batch it may differ in the last bits of its
    logits, and so, now and then, in its words. Logprobs are the model's own, before temperature.

    Args:
        model_dir: Folder of the weights (safetensors), or a name of the model hub.
        model: Name that stands on every chain.
        n_parallel: Chains in one batch at most.
        context_tokens: Room for one chain: prompt and answer.
        more: ``device`` and ``linger_s``; the rest goes to ``from_pretrained``, e.g. ``dtype`` or
            ``attn_implementation``.

    Raises:
        ConfigurationError: The model has no chat template.
        EngineUnavailableError: The model cannot be loaded.
    """

    def __init__(
        self,
        model_dir: str,
        *,
        model: str,
        n_parallel: int = 8,
        context_tokens: int = 4096,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        options = {"dtype": "bfloat16", "device": _device(), "linger_s": LINGER_S, **(more or {})}
        self._device = str(options.pop("device"))
        self._linger_s = float(options.pop("linger_s"))
        self._model_name = model
        self._n_parallel = n_parallel
        loaded, tokenizer = _load(model_dir, options, device=self._device)
        trained_for = getattr(loaded.config, "max_position_embeddings", None) or context_tokens
        context = min(context_tokens, trained_for)
        self._prompts = Prompts(tokenizer, context_tokens=context)
        self._revision = revision_of(Path(model_dir)) if Path(model_dir).is_dir() else model_dir
        ends = _ends(loaded, tokenizer)
        self._decoder = Decoder(loaded, self._prompts, ends=ends, pad=ends[0] if ends else 0)
        self._capabilities = Capabilities(
            logprobs=True, seeds=True, scores=True, max_context_tokens=context, concurrency=n_parallel
        )
        self._model_lock = Lock()
        self._waiting: deque[Row] = deque()
        self._arrived = Condition()
        self._closed = Event()
        self._thread = Thread(target=self._work, name="transformers-engine", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Engine name."""
        return "transformers"

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
            EngineUnavailableError: The engine is closed, or the model failed under way.
            SamplingCancelledError: The requests were cancelled under way.
        """
        self._require_open()
        refuse_schemas(self.name, requests)
        return self._run(self._prompts.of_chains(requests))

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return how likely the model finds each text; see the protocol."""
        self._require_open()
        scores = []
        for prompt, text in self._prompts.of_scores(requests, spare=0):
            with self._model_lock:
                logprob = self._decoder.score(prompt, text)
            scores.append(Score(logprob=min(0.0, logprob), n_tokens=len(text)))
        return scores

    def health(self) -> Health:
        """Return whether the thread that decodes is alive; never raises."""
        if self._closed.is_set():
            return Health(ok=False, detail="closed")
        facts = {"model": self._model_name, "revision": self._revision, "device": self._device}
        alive = self._thread.is_alive()
        return Health(ok=alive, detail="" if alive else "the decoding thread died", facts=facts)

    def close(self) -> None:
        """End what is under way and let the model go."""
        with self._arrived:
            self._closed.set()
            self._arrived.notify_all()
        self._thread.join()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise EngineUnavailableError("the transformers engine is closed")

    def _run(self, jobs: list[tuple[ChainRequest, tuple[int, ...]]]) -> Generator[SampledChain, None, None]:
        results: SimpleQueue[Row | Exception] = SimpleQueue()
        cancelled = Event()
        rows = [
            Row(
                request=request,
                prompt=prompt,
                deliver=results.put,
                cancelled=cancelled,
                uniforms=uniforms_of(request),
            )
            for request, prompt in jobs
        ]
        started = time.monotonic()
        cancellation = cancellation_of([request for request, _ in jobs])

        def abort() -> None:
            cancelled.set()
            results.put(SamplingCancelledError("the chains are no longer wanted"))

        try:
            with cancellation.telling(abort):
                self._take_in(rows)
                for _ in rows:
                    row = results.get()
                    cancellation.check()
                    if isinstance(row, Exception):
                        raise row
                    yield self._chain(row, latency_s=time.monotonic() - started)
        finally:  # also when the caller closes the generator
            cancelled.set()

    def _take_in(self, rows: Sequence[Row]) -> None:
        with self._arrived:
            self._require_open()
            self._waiting.extend(rows)
            self._arrived.notify_all()

    def _chain(self, row: Row, *, latency_s: float) -> SampledChain:
        return SampledChain(
            index=row.request.index,
            text=row.text,
            logprob=row.logprob,
            n_tokens=len(row.ids),
            finish_reason=row.finish_reason or FinishReason.ERROR,
            model=self._model_name,
            revision=self._revision,
            latency_s=latency_s,
        )

    def _work(self) -> None:
        batch: list[Row] = []
        while not self._closed.is_set():
            batch = self._next_batch()
            try:
                with self._model_lock:
                    if batch:
                        self._decoder.run(batch, self._closed)
            except RuntimeError as error:  # torch's: out of memory, or the device is gone
                _fail(batch, EngineUnavailableError(f"the model failed: {error}"))
        _fail(
            [*batch, *self._waiting], EngineUnavailableError("the transformers engine was closed under way")
        )

    def _next_batch(self) -> list[Row]:
        """Wait for chains, then a moment for more of them; return at most ``n_parallel`` that are still wanted."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closed.is_set())
            self._arrived.wait_for(
                lambda: len(self._waiting) >= self._n_parallel or self._closed.is_set(),
                timeout=self._linger_s,
            )
            batch: list[Row] = []
            while self._waiting and len(batch) < self._n_parallel and not self._closed.is_set():
                row = self._waiting.popleft()
                if not row.cancelled.is_set():
                    batch.append(row)
            return batch


def _fail(rows: Sequence[Row], error: Exception) -> None:
    for row in rows:
        if row.finish_reason is None:
            row.deliver(error)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _load(model_dir: str, options: Mapping[str, Any], *, device: str) -> tuple[Any, Any]:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
        # Safetensors only: the older format is pickle, which runs code.
        model = transformers.AutoModelForCausalLM.from_pretrained(model_dir, use_safetensors=True, **options)
        return model.to(device).eval(), tokenizer
    except TypeError as error:
        raise ConfigurationError(f"the transformers engine knows no such option: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineUnavailableError(f"transformers cannot load {model_dir}: {error}") from error


def _ends(model: Any, tokenizer: Any) -> list[int]:  # noqa: ANN401 - untyped library
    """Return the tokens that end a turn."""
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    return sorted({token for token in [*ends, tokenizer.eos_token_id] if token is not None})


if TYPE_CHECKING:
    _conforms: type[Engine] = TransformersEngine
