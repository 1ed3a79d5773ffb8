"""The engine for any endpoint that speaks OpenAI's chat completions: vLLM, llama.cpp's server, hosted models."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import httpx
import openai
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import BaseModel, Field, ValidationError

from worker.engines.cancellation import cancellation_of
from worker.engines.event_loop import EventLoop
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    FinishReason,
    Health,
    SampledChain,
    Score,
    ScoreRequest,
    Token,
)
from worker.engines.window import Window
from worker.errors import EngineUnavailableError, GenerationError, PromptTooLongError, RequestRefusedError

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
TOO_LONG = {"context_length_exceeded", "exceed_context_size_error"}  # OpenAI's code, llama.cpp's type
NO_KEY = "none"  # what servers without keys are sent, since the library insists on one
OVERLOADED = {429, 503}
HEALTH_TIMEOUT_S = 5.0


class _TokenLogprob(BaseModel):
    token: str = ""
    logprob: float


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    completion_tokens: int = 0


class _Reply(BaseModel):
    """What we read of a chat completion; checked here, since compatible servers are so to various degrees."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str = ""
    system_fingerprint: str | None = None


class OpenAIEngine:
    """Samples from an endpoint; at most ``concurrency`` requests are under way, each for one chain.

    The requests run in an event loop on a thread of their own, so that closing the iterator drops the connections
    at once and the server can stop generating, even while the library waits to retry. The library repeats what
    failed on the way or with 408, 409, 429 or 5xx, with growing pauses and jitter, and heeds ``Retry-After``; each
    429 or 503 also halves how many requests are under way, and answers let that grow again.

    Args:
        base_url: Of the endpoint, mostly ending in ``/v1``.
        model: As the endpoint calls it; also stands on every chain.
        api_key: From the environment; ``None`` for a server that wants none.
        logprobs: Whether to ask for them; a server that refuses is not asked again.
        concurrency: Requests under way at once, at the most.
        context_tokens: What the endpoint's model can hold; it is the endpoint that refuses longer prompts.
        max_retries: Of one request.
        timeout_s: Of one attempt.
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
        self._window = Window(concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or NO_KEY,
            max_retries=max_retries,
            timeout=timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [self._adapt]}),
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
            PromptTooLongError: The endpoint says so.
            RequestRefusedError: The endpoint refuses a request.
            EngineUnavailableError: It cannot be reached, is overloaded, refuses the key, or talks nonsense.
            SamplingCancelledError: The requests were cancelled under way.
        """
        if self._loop.is_closed:
            raise EngineUnavailableError("the openai engine is closed")
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

    def _run(self, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        # Not until the first chain is asked for: a generator that is never begun cannot cancel either.
        yield from self._loop.as_they_finish(
            [self._chain(request) for request in requests], cancellation_of(requests)
        )

    async def _adapt(self, response: httpx.Response) -> None:
        if response.status_code in OVERLOADED:
            self._window.shrink()
        elif response.is_success:
            self._window.grow()

    async def _chain(self, request: ChainRequest) -> SampledChain:
        async with self._window:
            started = time.monotonic()
            try:
                reply = await self._ask(request)
            except openai.OpenAIError as error:
                raise _translated(error) from error
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "the whole"
                raise EngineUnavailableError(
                    f"the endpoint's answer is no chat completion: {where}: {first['msg']}"
                ) from error
            return self._sampled(request, reply, latency_s=time.monotonic() - started)

    async def _ask(self, request: ChainRequest) -> _Reply:
        # As they are now: while this request is under way the refusal of another may change them.
        logprobs = self._asks_for_logprobs
        schema = request.json_schema if self._asks_for_schemas else None
        try:
            return await self._post(request, logprobs=logprobs, schema=schema)
        except openai.BadRequestError as error:
            if logprobs and error.param in {"logprobs", "top_logprobs"}:
                self._asks_for_logprobs = False  # this model gives none
            elif schema and _is_about_schemas(error):
                # The prompt asks for the same; what does not follow it is no list.
                self._asks_for_schemas = False
            else:
                raise
            return await self._ask(request)

    async def _post(self, request: ChainRequest, *, logprobs: bool, schema: str | None) -> _Reply:
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
        return _Reply.model_validate_json(raw.content)

    def _sampled(self, request: ChainRequest, reply: _Reply, *, latency_s: float) -> SampledChain:
        choice = reply.choices[0]
        tokens = choice.logprobs.content if choice.logprobs else None
        n_tokens = reply.usage.completion_tokens if reply.usage else 0
        return SampledChain(
            index=request.index,
            text=choice.message.content or "",
            # counted as summed, which may leave out the end-of-turn token that the usage counts
            logprob=sum(token.logprob for token in tokens) if tokens else None,
            n_tokens=len(tokens) if tokens else n_tokens,
            finish_reason=FINISH_REASONS.get(choice.finish_reason or "", FinishReason.ERROR),
            model=self._model,
            revision=reply.system_fingerprint or reply.model,
            latency_s=latency_s,
            tokens=tuple(Token(token.token, token.logprob) for token in tokens or ())
            if request.json_schema
            else (),
        )

    async def _fault(self) -> str:
        patient = self._client.with_options(max_retries=0, timeout=HEALTH_TIMEOUT_S)
        try:
            await patient.models.list()
        except openai.NotFoundError:
            return ""  # it answers; not every endpoint lists its models
        except openai.OpenAIError as error:
            return str(_translated(error))
        except ValueError:
            return "the endpoint's answer is no JSON"
        return ""


def _translated(error: openai.OpenAIError) -> GenerationError:
    if not isinstance(error, openai.APIStatusError):
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return EngineUnavailableError(f"the endpoint cannot be reached: {error}{cause}")
    said = f"the endpoint answers {error.status_code}: {error.message}"
    if error.code in TOO_LONG or error.type in TOO_LONG:
        return PromptTooLongError(said)
    # A wrong key or model name is the operator's to mend, and then the same request is fine: not the request's fault.
    if error.status_code in {401, 403, 404, 408, 409, 429} or error.status_code >= 500:
        return EngineUnavailableError(said)
    return RequestRefusedError(said)


def _shape(schema: str) -> ResponseFormatJSONSchema:
    return {
        "type": "json_schema",
        "json_schema": {"name": "chain", "schema": json.loads(schema), "strict": True},
    }


def _is_about_schemas(error: openai.BadRequestError) -> bool:
    # Servers that know no schemas have no code for it in common.
    said = f"{error.param} {error.message}".lower()
    return any(word in said for word in ("response_format", "json_schema", "schema"))


def _plain(role: str, content: str) -> ChatCompletionMessageParam:
    return {"role": role, "content": content}  # type: ignore[return-value,misc]  # roles are checked by the endpoint


if TYPE_CHECKING:
    _conforms: type[Engine] = OpenAIEngine
