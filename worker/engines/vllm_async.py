"""The engine for GPUs: vLLM inside this process, which keeps one batch full of the chains of many tasks."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from worker.engines import watchdog
from worker.engines.cancellation import cancellation_of
from worker.engines.event_loop import EventLoop
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
)
from worker.engines.sampler import MIN_P, TOP_K, TOP_P
from worker.errors import ConfigurationError, EngineUnavailableError, RequestRefusedError

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
HEALTH_TIMEOUT_S = 5.0
CPU_CACHE_GIB = "1"  # of keys and values; 21 chains of 4096 tokens of the 0.5B model


class VllmEngine:
    """Samples with vLLM's asynchronous engine; one request per chain, with its own seed and temperature.

    The requests of all tasks are batched together token by token, and chains of one prompt share its keys and
    values. A generator that is closed aborts its chains inside vLLM. When vLLM's own process dies, what was under
    way fails as unavailable and the next request starts it again.

    An identical set of requests gives identical chains; one chain alone may differ from itself in a batch in the
    last bits of its logits, and so, now and then, in its words. Logprobs are the model's own, before temperature.

    Args:
        model_dir: Folder of the weights, or a name of the model hub.
        model: Name that stands on every chain.
        n_parallel: Chains in the batch at most; more wait in order.
        context_tokens: Room for one chain: prompt and answer.
        more: vLLM's own options by their names there, e.g. ``tensor_parallel_size``, ``quantization``.

    Raises:
        ConfigurationError: vLLM knows no such option, or the model has no chat template.
        EngineUnavailableError: vLLM cannot load the model.
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
        _prepare_environment()
        self._model = model
        more = dict(more or {})
        if Path(model_dir).is_dir():
            self._revision = revision_of(Path(model_dir))
        else:
            commit = commit_of(model_dir, more.get("revision"), cache_dir=more.get("download_dir"))
            if commit:
                own = {} if "tokenizer" in more else {"tokenizer_revision": commit}
                more = {**own, **more, "revision": commit}
            self._revision = commit[:REVISION_CHARS] if commit else model_dir
        self._arguments = _engine_arguments(
            model_dir, n_parallel=n_parallel, context_tokens=context_tokens, more=more
        )
        self._numbers = itertools.count()
        self._restarting = Lock()
        self._is_loading = False
        self._failed = ""
        """Why vLLM could not be started again, if that was tried and failed."""

        self._watchdog: subprocess.Popen[bytes] | None = None
        self._loop = EventLoop("vllm")
        try:
            self._engine = self._loaded()
            tokenizer = self._engine.get_tokenizer()
            context = int(self._engine.model_config.max_model_len)
            self._prompts = Prompts(tokenizer, context_tokens=context)
        except BaseException:
            self.close()
            raise
        self._capabilities = Capabilities(
            logprobs=True,
            seeds=True,
            scores=True,
            structured=True,
            max_context_tokens=context,
            concurrency=n_parallel,
        )

    @property
    def name(self) -> str:
        """Engine name."""
        return "vllm"

    @property
    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return self._capabilities

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        """Yield chains as they finish; see the protocol.

        Raises:
            PromptTooLongError: A prompt with its ``max_tokens`` exceeds the context; nothing was begun.
            RequestRefusedError: The model's template refuses the messages.
            EngineUnavailableError: The engine is closed, or vLLM's process died.
            SamplingCancelledError: The requests were cancelled under way.
        """
        self._require_open()
        return self._run(task_id, self._prompts.of_chains(requests))

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Return how likely the model finds each text; see the protocol."""
        self._require_open()
        jobs = self._prompts.of_scores(
            requests, spare=1
        )  # vLLM writes at least one token after what it weighs
        self._ensure_alive()
        coroutines = [self._score(number, *job) for number, job in enumerate(jobs)]
        return [score for _, score in sorted(self._loop.as_they_finish(coroutines))]

    def health(self) -> Health:
        """Return whether vLLM's process answers; never raises."""
        if self._loop.is_closed:
            return Health(ok=False, detail="closed")
        if self._is_loading:  # which may take minutes: a model is loaded
            return Health(ok=False, detail=self._failed or "vLLM is started again", lost=bool(self._failed))
        try:
            self._loop.start(self._engine.check_health()).result(timeout=HEALTH_TIMEOUT_S)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever it is, that is the answer
            # A dead one is started again by the next request; one that is busy answers later.
            detail = self._failed or f"vLLM: {type(error).__name__}: {error}"
            return Health(ok=False, detail=detail, lost=self._engine is not None and self._engine.errored)
        facts = {
            "model": self._model,
            "revision": self._revision,
            "unfinished": str(self._engine.get_num_unfinished_requests()),
        }
        return Health(ok=True, facts=facts)

    def close(self) -> None:
        """Abort what is under way and end vLLM's processes."""
        engine, self._engine = getattr(self, "_engine", None), None

        async def shut_down() -> None:
            if engine is not None:
                engine.shutdown()

        self._loop.close(shut_down())
        watchdog.release(self._watchdog)
        self._watchdog = None

    def _require_open(self) -> None:
        if self._loop.is_closed:
            raise EngineUnavailableError("the vllm engine is closed")

    def _ensure_alive(self) -> None:
        with self._restarting:
            if self._engine.errored:
                self._is_loading = True
                try:
                    self._engine.shutdown()
                    self._engine = self._loaded()
                except EngineUnavailableError as error:
                    self._failed = str(error)
                    raise
                finally:
                    self._is_loading = False
                self._failed = ""

    def _loaded(self) -> Any:  # noqa: ANN401 - untyped library
        before = {child.pid for child in multiprocessing.active_children()}
        engine = self._loop.start(_load(self._arguments)).result()
        watchdog.release(self._watchdog)
        started = [child.pid for child in multiprocessing.active_children() if child.pid not in before]
        self._watchdog = watchdog.guard(pid for pid in started if pid is not None)
        return engine

    def _run(
        self, task_id: str, jobs: list[tuple[ChainRequest, tuple[int, ...]]]
    ) -> Generator[SampledChain, None, None]:
        if jobs:
            self._ensure_alive()
        yield from self._loop.as_they_finish(
            [self._chain(task_id, *job) for job in jobs], cancellation_of([request for request, _ in jobs])
        )

    async def _chain(self, task_id: str, request: ChainRequest, prompt: Sequence[int]) -> SampledChain:
        from vllm import SamplingParams  # noqa: PLC0415 - loaded long before
        from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415 - likewise

        started = time.monotonic()
        parameters = SamplingParams(
            temperature=request.temperature,
            seed=request.seed,
            max_tokens=request.max_tokens,
            stop=list(request.stop) or None,
            top_k=TOP_K,
            top_p=TOP_P,
            min_p=MIN_P,
            # Without the rule about white space a small model may write line breaks to the end of its tokens.
            structured_outputs=StructuredOutputsParams(json=request.json_schema, disable_any_whitespace=True)
            if request.json_schema
            else None,
            logprobs=0,  # the sampled token's own, no alternatives
        )
        answer = (await self._ask(prompt, parameters, f"{task_id}/{request.index}")).outputs[0]
        ids = list(answer.token_ids)
        if answer.finish_reason == "stop" and not isinstance(answer.stop_reason, str):
            ids.pop()  # the end of the turn is no text; sum and count leave it out, as in every engine
        chosen = zip(ids, answer.logprobs, strict=False)
        return SampledChain(
            index=request.index,
            text=answer.text,
            logprob=min(0.0, sum(at[token].logprob for token, at in chosen)),
            n_tokens=len(ids),
            finish_reason=FINISH_REASONS.get(answer.finish_reason, FinishReason.ERROR),
            model=self._model,
            revision=self._revision,
            latency_s=time.monotonic() - started,
        )

    async def _score(self, number: int, prompt: list[int], text: list[int]) -> tuple[int, Score]:
        from vllm import SamplingParams  # noqa: PLC0415 - loaded long before

        parameters = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
        answer = await self._ask([*prompt, *text], parameters, "score")
        at = answer.prompt_logprobs[len(prompt) :]
        logprob = sum(given[token].logprob for token, given in zip(text, at, strict=True))
        return number, Score(logprob=min(0.0, logprob), n_tokens=len(text))

    async def _ask(self, prompt: Sequence[int], parameters: Any, label: str) -> Any:  # noqa: ANN401 - untyped library
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415 - loaded long before
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError  # noqa: PLC0415

        parameters.output_kind = RequestOutputKind.FINAL_ONLY
        # Unique, since a task that is given twice to this worker must not stop itself.
        request_id = f"{label}#{next(self._numbers)}"
        answer = None
        try:
            # One answer comes, when the chain is finished; a cancelled wait aborts it inside vLLM.
            async for latest in self._engine.generate(
                {"prompt_token_ids": list(prompt)}, parameters, request_id
            ):
                answer = latest
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineUnavailableError(f"vLLM failed: {error}") from error
        except ValueError as error:
            raise RequestRefusedError(f"vLLM refuses the request: {error}") from error
        if answer is None:
            raise EngineUnavailableError("vLLM ended a request without an answer")
        return answer


def _prepare_environment() -> None:
    """Set what the libraries read when they load; whatever the operator set stays."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    defaults = {
        # A forked child of a process with threads can deadlock.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        # On a processor: threads that wait must sleep, not spin, or a shared machine slows to a fifth.
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "VLLM_CPU_KVCACHE_SPACE": CPU_CACHE_GIB,
        **({"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores))} if cores else {}),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _engine_arguments(
    model_dir: str, *, n_parallel: int, context_tokens: int, more: Mapping[str, Any]
) -> Any:  # noqa: ANN401 - untyped library
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - after the environment is set
    from vllm.platforms import current_platform  # noqa: PLC0415 - likewise

    options: dict[str, Any] = {
        "model": model_dir,
        "max_model_len": context_tokens,
        "max_num_seqs": n_parallel,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        # A seed and a chunked prefill together kill the engine of 0.32 ("CPU Generator does not use offset").
        options |= {
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(4096, context_tokens),
        }
    try:
        return AsyncEngineArgs(**{**options, **more})
    except TypeError as error:
        raise ConfigurationError(f"vLLM refuses its options: {error}") from error


async def _load(arguments: Any) -> Any:  # noqa: ANN401 - untyped library
    """Return a running engine; on the loop, since its sockets belong to the loop they are made on."""
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 - after the environment is set

    try:
        return AsyncLLM.from_engine_args(arguments)
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineUnavailableError(f"vLLM cannot load {arguments.model}: {error}") from error


if TYPE_CHECKING:
    _conforms: type[Engine] = VllmEngine
