"""What is read of a chat completion: as much as compatible servers really send, and nothing that is impossible."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from worker.engines.protocol import FinishReason, Token
from worker.errors import EngineFaultError

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
ROUNDING = 1e-3  # a sum of float32 may end a little above 0
LONE_SURROGATES = re.compile("[\ud800-\udfff]")
FEWEST_ERROR, MOST_ERROR = 400, 599


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of the endpoint."""

    text: str
    finish_reason: FinishReason
    tokens: tuple[Token, ...]
    """Empty where not every token has a logprob."""

    logprob: float | None
    n_tokens: int
    """Those that the logprob sums over, which may leave out the end of the turn; else what the endpoint counted."""

    n_counted: int
    """The most that the endpoint itself says it wrote."""

    n_prompt_tokens: int
    """0 where it does not say."""

    revision: str


class ErrorInsideError(Exception):
    """Raised when an answer that calls itself a success is an error; never leaves the engine.

    Args:
        status: What the error would have been as a status of HTTP.
        error: The body's own words.
    """

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status, error)
        self.status = status
        self.error = error


def read_completion(body: bytes) -> Completion:
    """Return what an answer with a status of success says.

    Raises:
        ErrorInsideError: It is an error with a status of its own.
        EngineFaultError: It is no chat completion.
    """
    try:
        # Lone surrogates and what is no UTF-8 become U+FFFD: a character that the token limit cut in two is no
        # reason to lose the chain.
        value = json.loads(body.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise EngineFaultError(f"the endpoint's answer is no chat completion: {error}") from error
    _raise_error_inside(value)
    try:
        reply = _Reply.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise EngineFaultError(
            f"the endpoint's answer is no chat completion: {where}: {first['msg']}"
        ) from error
    return _completion(reply)


def _completion(reply: _Reply) -> Completion:
    choice = reply.choices[0]
    written = (choice.logprobs.content if choice.logprobs else None) or []
    counted = reply.usage.completion_tokens if reply.usage else None
    tokens = tuple(Token(one.token, one.logprob) for one in written if one.logprob is not None)
    if len(tokens) < len(written):
        tokens = ()
    return Completion(
        text=choice.message.content or "",
        finish_reason=FINISH_REASONS.get(choice.finish_reason, FinishReason.ERROR),
        tokens=tokens,
        logprob=sum(token.logprob for token in tokens) if tokens else None,
        n_tokens=len(written) or counted or 0,
        n_counted=max(len(written), counted or 0),
        n_prompt_tokens=(reply.usage.prompt_tokens if reply.usage else None) or 0,
        revision=reply.system_fingerprint or reply.model,
    )


def _raise_error_inside(value: object) -> None:
    error = value.get("error") if isinstance(value, dict) and not value.get("choices") else None
    if not error:
        return
    error = error if isinstance(error, dict) else {"message": str(error)}
    status = _count(error.get("code")) or 0
    if FEWEST_ERROR <= status <= MOST_ERROR:
        raise ErrorInsideError(status, error)
    said = _name(error.get("message")) or "nothing more"
    raise EngineFaultError(f"the endpoint's answer is no chat completion but an error: {said[:500]}")


def _text(value: object) -> object:
    """Return text as it can be kept, of a content that is text or parts of it; whatever else for pydantic to refuse."""
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        value = "".join(part["text"] for part in value if isinstance(part.get("text"), str))
    return LONE_SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value


def _name(value: object) -> str:
    """Return what stands in a record beside a chain, which is never worth losing the chain."""
    return LONE_SURROGATES.sub("\ufffd", str(value)) if isinstance(value, (str, int)) else ""


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _nats(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        nats = float(value)
    except OverflowError:  # JSON knows no largest integer
        return None
    return min(0.0, nats) if math.isfinite(nats) and nats <= ROUNDING else None


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Return ``None`` for what a server has in a form of its own: it is as if it were not there."""
    try:
        return read(value)
    except ValidationError:
        return None


Name = Annotated[str, BeforeValidator(_name)]
Count = Annotated[int | None, BeforeValidator(_count)]


class _TokenLogprob(BaseModel):
    token: Name = ""
    logprob: Annotated[float | None, BeforeValidator(_nats)] = None


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_text)] = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Name = ""
    logprobs: Annotated[_Logprobs | None, WrapValidator(_or_none)] = None


class _Usage(BaseModel):
    prompt_tokens: Count = None
    completion_tokens: Count = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Annotated[_Usage | None, WrapValidator(_or_none)] = None
    model: Name = ""
    system_fingerprint: Name = ""
