"""The engine on the transformers library: for models that vLLM does not know, and for machines without it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import torch
import transformers

from worker.engines.cancellation import cancellation_of
from worker.engines.decoding import Decoder, Row, uniforms_of
from worker.engines.folders import REVISION_CHARS, commit_of, revision_of
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
from worker.errors import (
    ConfigurationError,
    EngineFaultError,
    EngineUnavailableError,
    GenerationError,
    RequestRefusedError,
    SamplingCancelledError,
)

LINGER_S = (
    0.01  # after the first chain of a batch: those of other tasks that come meanwhile are decoded with it
)
THREAD_ENDED = "the decoding thread of the transformers engine has ended"


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
        if Path(model_dir).is_dir():
            self._revision = revision_of(Path(model_dir))
        else:
            commit = commit_of(model_dir, options.get("revision"), cache_dir=options.get("cache_dir"))
            options |= {"revision": commit} if commit else {}
            self._revision = commit[:REVISION_CHARS] if commit else model_dir
        loaded, tokenizer = _load(model_dir, options, device=self._device)
        trained_for = getattr(loaded.config, "max_position_embeddings", None) or context_tokens
        context = min(context_tokens, trained_for)
        self._prompts = Prompts(tokenizer, context_tokens=context)
        self._n_embeddings = loaded.get_input_embeddings().num_embeddings
        ends = _ends(loaded, tokenizer)
        self._decoder = Decoder(loaded, self._prompts, ends=ends, pad=ends[0] if ends else 0)
        self._capabilities = Capabilities(
            logprobs=True, seeds=True, scores=True, max_context_tokens=context, concurrency=n_parallel
        )
        self._model_lock = Lock()
        self._waiting: deque[Row] = deque()
        self._arrived = Condition()
        self._closed = Event()
        self._ended = Event()
        """The thread takes nothing any more; told before it is gone, so that nothing is put down for it."""

        self._failed = ""
        """What the last batch died of, if it did."""

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
            RequestRefusedError: The model's template refuses the messages, or its weights know no such token.
            EngineUnavailableError: The engine is closed, or the model failed under way.
            EngineFaultError: The model failed as it would again.
            SamplingCancelledError: The requests were cancelled under way.
        """
        self._require_open()
        refuse_schemas(self.name, requests)
        jobs = self._prompts.of_chains(requests)
        for _, prompt in jobs:
            self._check_known(prompt)
        return self._run(jobs)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return how likely the model finds each text; see the protocol."""
        self._require_open()
        scores = []
        for prompt, text in self._prompts.of_scores(requests, spare=0):
            self._check_known([*prompt, *text])
            with self._model_lock, _told_as_ours():
                logprob = self._decoder.score(prompt, text)
            scores.append(Score(logprob=min(0.0, logprob), n_tokens=len(text)))
        return scores

    def health(self) -> Health:
        """Return whether the thread that decodes is alive and its last batch went well; never raises."""
        if self._closed.is_set():
            return Health(ok=False, detail="closed")
        facts = {"model": self._model_name, "revision": self._revision, "device": self._device}
        if self._ended.is_set():
            return Health(ok=False, detail=THREAD_ENDED, lost=True, facts=facts)
        return Health(ok=not self._failed, detail=self._failed, facts=facts)

    def close(self) -> None:
        """End what is under way and let the model go."""
        with self._arrived:
            self._closed.set()
            self._arrived.notify_all()
        self._thread.join()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise EngineUnavailableError("the transformers engine is closed")
        if self._ended.is_set():
            raise EngineUnavailableError(THREAD_ENDED)  # nobody would ever answer

    def _check_known(self, tokens: Sequence[int]) -> None:
        # A tokenizer that was given words after the weights were made; on a GPU this would end the whole device.
        if max(tokens, default=0) >= self._n_embeddings:
            raise RequestRefusedError(
                f"the prompt holds a token of the tokenizer that the weights of {self._model_name} have no row for"
            )

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
            text=row.text or "",
            logprob=row.logprob,
            n_tokens=len(row.ids),
            finish_reason=row.finish_reason or FinishReason.ERROR,
            model=self._model_name,
            revision=self._revision,
            latency_s=latency_s,
        )

    def _work(self) -> None:
        batch: list[Row] = []
        ended = EngineUnavailableError(THREAD_ENDED)
        try:
            while not self._closed.is_set():
                batch = self._next_batch()
                if not batch:
                    continue
                try:
                    with self._model_lock, _told_as_ours():
                        self._decoder.run(batch, self._closed)
                    self._failed = ""
                except GenerationError as error:
                    self._failed = str(error)
                    _fail(batch, error)
            ended = EngineUnavailableError("the transformers engine was closed under way")
        finally:  # whatever ended this thread: who waits for it must not wait for ever
            with self._arrived:
                self._ended.set()
                left, self._waiting = [*batch, *self._waiting], deque()
            _fail(left, ended)

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


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch's: out of memory, or the device is gone
        raise EngineUnavailableError(f"the model failed: {error}") from error
    except Exception as error:  # a mistake of the library's or of ours; the same batch would fail again
        raise EngineFaultError(f"the model failed: {type(error).__name__}: {error}") from error


def _fail(rows: Sequence[Row], error: Exception) -> None:
    for row in rows:
        if not row.is_delivered:
            row.deliver(error)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _load(model_dir: str, options: Mapping[str, Any], *, device: str) -> tuple[Any, Any]:
    try:
        pinned = {name: options[name] for name in ("revision", "cache_dir") if name in options}
        tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, **pinned)
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
