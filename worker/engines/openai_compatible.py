"""The engine for any endpoint that speaks OpenAI's chat completions: vLLM, llama.cpp's server, hosted models."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from typing import TYPE_CHECKING

import openai
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from worker.engines.attempts import Attempts, Call
from worker.engines.cancellation import cancellation_of
from worker.engines.completions import Completion, ErrorInsideError, read_completion
from worker.engines.event_loop import EventLoop
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    Health,
    SampledChain,
    Score,
    ScoreRequest,
)
from worker.engines.refusals import (
    NOT_UNDERSTOOD,
    Cause,
    Failure,
    failure_of,
    is_about_logprobs,
    is_about_schemas,
)
from worker.engines.window import Window
from worker.errors import (
    EngineFaultError,
    EngineUnavailableError,
    GenerationError,
    PromptTooLongError,
    RequestRefusedError,
)

NO_KEY = "none"  # what servers without keys are sent, since the library insists on one
HEALTH_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0  # a machine that is off does not refuse a connection, it says nothing
PROBE_TIMEOUT_S = 30.0

MOST_CHARS_A_TOKEN = 32
"""No tokenizer packs more characters into a token over a whole prompt; words of a language have four or five."""

SPARE_TOKENS = 8
"""Beyond ``max_tokens``: some servers count the end of the turn and what surrounds the text."""


class OpenAIEngine:
    """Samples from an endpoint; at most ``concurrency`` requests are under way, each for one chain.

    The requests run in an event loop on a thread of their own, so that closing the iterator drops the connections
    at once and the server can stop generating, even while a request waits to be repeated. What failed on the way, with
    408, 409, 429 or 5xx is repeated with growing pauses and jitter; between attempts a request holds no place. A burst
    of 429 or 503 halves how many requests are under way, and answers let that grow again; its ``Retry-After`` is a
    pause for all. What fails for good although the endpoint answers a small request is the request's fault.

    Args:
        base_url: Of the endpoint, mostly ending in ``/v1``.
        model: As the endpoint calls it; also stands on every chain.
        api_key: From the environment; ``None`` for a server that wants none.
        logprobs: Whether to ask for them; a server that refuses is not asked again.
        concurrency: Requests under way at once, at the most.
        context_tokens: Room for prompt and answer; held against what the endpoint counts, since some cut silently.
        max_retries: Of one request; those that an overloaded endpoint refuses while it answers others are not counted.
        timeout_s: Of one attempt, once there is a connection.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        logprobs: bool = True,
        concurrency: int = 8,
        context_tokens: int = 4096,
        max_retries: int = 5,
        timeout_s: float = 300.0,
    ) -> None:
        self._base_url = base_url
        self._model = model
        self._concurrency = concurrency
        self._context_tokens = context_tokens
        self._asks_for_logprobs = logprobs
        self._asks_for_schemas = True
        self._max_retries = max_retries
        self._n_answered = 0
        self._window = Window(concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or NO_KEY,
            max_retries=0,  # the library would hold its place meanwhile, and not tell the others
            timeout=openai.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        )
        self._loop = EventLoop("openai")

    @property
    def name(self) -> str:
        """Engine name."""
        return "openai"

    @property
    def capabilities(self) -> Capabilities:
        """Return what is asked of the endpoint; a server without logprobs leaves the chains' ``None``.

        One that refused a schema once is not asked again.
        """
        return Capabilities(
            logprobs=self._asks_for_logprobs,
            seeds=True,
            structured=self._asks_for_schemas,
            max_context_tokens=self._context_tokens,
            concurrency=self._concurrency,
        )

    def sample(
        self,
        task_id: str,  # noqa: ARG002 - the protocol's; the endpoint needs no task
        requests: list[ChainRequest],
    ) -> Generator[SampledChain, None, None]:
        """Yield chains as they finish; see the protocol.

        Raises:
            PromptTooLongError: The endpoint says so, or a prompt cannot fit.
            RequestRefusedError: The endpoint refuses a request.
            EngineUnavailableError: It cannot be reached, is overloaded, or refuses the key.
            EngineFaultError: It answers with nonsense, with more tokens than it may, or not this request alone.
            SamplingCancelledError: The requests were cancelled under way.
        """
        if self._loop.is_closed:
            raise EngineUnavailableError("the openai engine is closed")
        self._window.require_open()
        for request in requests:
            self._require_room(request)
        return self._run(requests)

    def score(
        self,
        requests: Sequence[ScoreRequest],  # noqa: ARG002 - the protocol's
    ) -> list[Score]:
        """Refuse: chat completions cannot weigh a given answer.

        Raises:
            RequestRefusedError: Always.
        """
        raise RequestRefusedError("an endpoint for chat completions cannot score a text that is given to it")

    def health(self) -> Health:
        """Return whether the endpoint answers; never raises."""
        if self._loop.is_closed:
            return Health(ok=False, detail="closed")
        future = self._loop.start(self._fault())
        try:
            fault = future.result(timeout=2 * HEALTH_TIMEOUT_S)
        except (TimeoutError, CancelledError):
            future.cancel()
            fault = "no answer"
        facts = {"model": self._model, "base_url": self._base_url, "window": str(self._window.limit)}
        return Health(ok=not fault, detail=fault, facts=facts)

    def close(self) -> None:
        """Drop what is under way and end the thread."""
        self._loop.close(self._client.close())

    def _require_room(self, request: ChainRequest) -> None:
        n_chars = sum(len(message.content) for message in request.messages)
        if n_chars > MOST_CHARS_A_TOKEN * (self._context_tokens - request.max_tokens):
            raise PromptTooLongError(
                f"the prompt has {n_chars} characters, which cannot fit into {self._context_tokens} tokens "
                f"(MERGEREASONER_CONTEXT_TOKENS) beside an answer of {request.max_tokens}"
            )

    def _run(self, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        # Not until the first chain is asked for: a generator that is never begun cannot cancel either.
        call = Call()
        outcomes = self._loop.as_they_finish(
            [self._outcome(request, call) for request in requests], cancellation_of(requests)
        )
        with closing(outcomes):
            for outcome in outcomes:
                if outcome is not None:
                    yield outcome
                elif call.is_cut_off:
                    break  # nobody is there any more to answer what is under way
        if call.fault is not None:
            raise call.fault

    async def _outcome(self, request: ChainRequest, call: Call) -> SampledChain | None:
        """Return the chain; nothing when the call has failed, and then those under way may still finish.

        They are paid for, and whoever asked may keep them.
        """
        try:
            return await self._chain(request, call)
        except (EngineUnavailableError, EngineFaultError) as error:
            call.fault = call.fault or error
            return None

    async def _chain(self, request: ChainRequest, call: Call) -> SampledChain | None:
        attempts = Attempts(self._max_retries)
        while True:
            async with self._window.place() as ticket:
                if call.fault is not None:
                    return None
                started = time.monotonic()
                try:
                    completion = await self._ask(request)
                except openai.OpenAIError as error:
                    failure = failure_of(error)
                    self._heed(failure, ticket)
                else:
                    self._n_answered += 1
                    self._window.grow()
                    return self._sampled(request, completion, latency_s=time.monotonic() - started)
            pause_s = attempts.pause_s(failure, n_answered=self._n_answered)
            if pause_s is None:
                call.is_cut_off = call.is_cut_off or failure.cause is Cause.UNREACHABLE
                raise await self._given_up(failure)
            await asyncio.sleep(pause_s)

    def _heed(self, failure: Failure, ticket: int) -> None:
        if failure.cause is Cause.OVERLOADED:
            self._window.shrink(ticket)
            self._window.pause(failure.retry_after_s or 0.0)

    async def _given_up(self, failure: Failure) -> GenerationError:
        if failure.cause is Cause.TOO_LONG:
            return PromptTooLongError(failure.said)
        if failure.cause is Cause.REFUSED:
            return RequestRefusedError(failure.said)
        if failure.cause in {Cause.BROKEN, Cause.SLOW} and await self._answers_others():
            return EngineFaultError(f"{failure.said}, though it answers another request")
        return EngineUnavailableError(failure.said, retry_after_s=failure.retry_after_s)

    async def _answers_others(self) -> bool:
        """Return whether the endpoint answers the smallest of requests, and not only who asks for its health."""
        client = self._client.with_options(timeout=PROBE_TIMEOUT_S)
        try:
            await client.chat.completions.create(
                model=self._model, messages=[_plain("user", "Hello")], max_tokens=1
            )
        except openai.APIStatusError as error:
            return error.status_code in NOT_UNDERSTOOD  # that is an answer too
        except openai.OpenAIError:
            return False
        except ValueError:
            pass  # no JSON, which is for others to complain about
        return True

    async def _ask(self, request: ChainRequest) -> Completion:
        # As they are now: while this request is under way the refusal of another may change them.
        logprobs = self._asks_for_logprobs
        schema = request.json_schema if self._asks_for_schemas else None
        dropped_logprobs = dropped_schema = False
        while True:
            try:
                completion = await self._post(request, logprobs=logprobs, schema=schema)
            except openai.APIStatusError as error:
                if logprobs and is_about_logprobs(error):
                    logprobs, dropped_logprobs = False, True
                elif schema and is_about_schemas(error):
                    # The prompt asks for the same; what does not follow it is no list.
                    schema, dropped_schema = None, True
                else:
                    raise
                continue
            # Not before it is answered without: an error may quote a prompt that is about schemas.
            self._asks_for_logprobs = self._asks_for_logprobs and not dropped_logprobs
            self._asks_for_schemas = self._asks_for_schemas and not dropped_schema
            return completion

    async def _post(self, request: ChainRequest, *, logprobs: bool, schema: str | None) -> Completion:
        raw = await self._client.chat.completions.with_raw_response.create(
            model=self._model,
            messages=[_plain(message.role, message.content) for message in request.messages],
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            stop=list(request.stop) or openai.omit,
            logprobs=True if logprobs else openai.omit,
            response_format=openai.omit if schema is None else _shape(schema),
        )
        try:
            return read_completion(raw.content)
        except ErrorInsideError as inside:
            said = str(inside.error.get("message"))
            error = openai.APIStatusError(said, response=raw.http_response, body=inside.error)
            error.status_code = inside.status
            raise error from inside

    def _sampled(self, request: ChainRequest, completion: Completion, *, latency_s: float) -> SampledChain:
        if completion.n_counted > request.max_tokens + SPARE_TOKENS:
            raise EngineFaultError(
                f"the endpoint wrote {completion.n_counted} tokens where {request.max_tokens} were allowed"
            )
        if completion.n_prompt_tokens + request.max_tokens > self._context_tokens:
            raise PromptTooLongError(
                f"the prompt has {completion.n_prompt_tokens} tokens; with {request.max_tokens} of the answer "
                f"they exceed the context of {self._context_tokens} (MERGEREASONER_CONTEXT_TOKENS)"
            )
        return SampledChain(
            index=request.index,
            text=completion.text,
            logprob=completion.logprob,
            n_tokens=completion.n_tokens,
            finish_reason=completion.finish_reason,
            model=self._model,
            revision=completion.revision,
            latency_s=latency_s,
            tokens=completion.tokens if request.json_schema else (),
        )

    async def _fault(self) -> str:
        hasty = self._client.with_options(timeout=HEALTH_TIMEOUT_S)
        try:
            await hasty.models.list()
        except openai.NotFoundError:
            return ""  # it answers; not every endpoint lists its models
        except openai.OpenAIError as error:
            return failure_of(error).said
        except ValueError:
            return "the endpoint's answer is no JSON"
        return ""


def _shape(schema: str) -> ResponseFormatJSONSchema:
    return {
        "type": "json_schema",
        "json_schema": {"name": "chain", "schema": json.loads(schema), "strict": True},
    }


def _plain(role: str, content: str) -> ChatCompletionMessageParam:
    return {"role": role, "content": content}  # type: ignore[return-value,misc]  # roles are checked by the endpoint


if TYPE_CHECKING:
    _conforms: type[Engine] = OpenAIEngine
