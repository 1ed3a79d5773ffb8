"""What it means when an endpoint does not answer: whose fault it is, and whether and when to ask again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

import openai

LONGEST_RETRY_AFTER_S = 3600.0
"""The most that is believed of a Retry-After: a date in 2099 is a mistake, and an hour is soon enough to see it."""

TOO_LONG = {"context_length_exceeded", "exceed_context_size_error"}  # OpenAI's code, llama.cpp's type
SAYS_TOO_LONG = "maximum context length"  # vLLM, which has no code for it
OPERATORS = {401, 402, 403, 404, 405, 407}  # the key, the bill, the name of the model, the address
OVERLOADED = {429, 503, 529}
ON_THE_WAY = {408, 409}
NO_MONEY = "insufficient_quota"  # OpenAI's 402 is a 429
NOT_UNDERSTOOD = {400, 422}
MOST_CHARS = 2000  # of what an endpoint says
NEVER_THERE = {"ConnectError", "ConnectTimeout"}


class Cause(Enum):
    """Why a request was not answered."""

    UNREACHABLE = auto()
    """No connection could be made."""

    OVERLOADED = auto()
    """The endpoint has too many requests; nothing is wrong with this one."""

    OPERATOR = auto()
    """A wrong key, an unpaid bill, a wrong address: the operator's to mend, and then the same request is fine."""

    BROKEN = auto()
    """It broke over the request, or on the way: perhaps the endpoint is down, perhaps it cannot do this one."""

    SLOW = auto()
    """It took the request and did not answer in time; as ``BROKEN``, but it may have worked on it all the while."""

    TOO_LONG = auto()
    """The prompt and its tokens exceed the context."""

    REFUSED = auto()
    """The request is not one that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One attempt that was not answered."""

    cause: Cause
    said: str
    retry_after_s: float | None = None
    """How long the endpoint asked to be left alone, if it did."""


def failure_of(error: openai.OpenAIError) -> Failure:
    """Return what an error of the library means."""
    if not isinstance(error, openai.APIStatusError):
        cause = _on_the_way(error)
        what = "does not answer" if cause is Cause.SLOW else "cannot be reached"
        more = f" ({error.__cause__})" if str(error.__cause__ or "") else ""
        return Failure(cause=cause, said=f"the endpoint {what}: {error}{more}")
    return Failure(
        cause=_answered(error),
        said=f"the endpoint answers {error.status_code}: {_words(error)}",
        retry_after_s=retry_after(error.response.headers.get("retry-after-ms"), per_second=1000)
        or retry_after(error.response.headers.get("retry-after")),
    )


def retry_after(said: str | None, *, per_second: int = 1, now: datetime | None = None) -> float | None:
    """Return the seconds that a header asks for, an hour at the most; ``None`` where it says nothing that makes sense.

    Args:
        said: The header's value: a number, or a date as HTTP writes it.
        per_second: In which unit the number is.
        now: For dates; the clock's by default.
    """
    if said is None:
        return None
    try:
        pause_s = float(said) / per_second
    except ValueError:
        try:
            date = parsedate_to_datetime(said)
        except (ValueError, OverflowError):
            return None
        # HTTP's dates are GMT, also where a server leaves that out.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        pause_s = (date - (now or datetime.now(UTC))).total_seconds()
    return min(pause_s, LONGEST_RETRY_AFTER_S) if pause_s > 0 and not math.isnan(pause_s) else None


def is_about_logprobs(error: openai.APIStatusError) -> bool:
    """Whether the endpoint seems to refuse the request for its ``logprobs``."""
    return _is_about(error, "logprobs")


def is_about_schemas(error: openai.APIStatusError) -> bool:
    """Whether the endpoint seems to refuse the request for its ``response_format``."""
    return _is_about(error, "response_format", "schema")


def _is_about(error: openai.APIStatusError, *words: str) -> bool:
    # Servers have no code for it in common, and some name the parameter in the text alone.
    said = f"{error.param} {_words(error)}".lower()
    return error.status_code in NOT_UNDERSTOOD and any(word in said for word in words)


def _words(error: openai.APIStatusError) -> str:
    """Return what the body says: the library reads OpenAI's form alone, and not every server has it."""
    if isinstance(error.body, dict) and isinstance(error.body.get("message"), str):
        return str(error.body["message"])[:MOST_CHARS]
    return error.response.text[:MOST_CHARS] or "nothing more"


def _on_the_way(error: openai.OpenAIError) -> Cause:
    # By name: of which HTTP library they are depends on the version of openai.
    kinds = {kind.__name__ for kind in type(error.__cause__).__mro__}
    if kinds & NEVER_THERE:
        return Cause.UNREACHABLE
    return Cause.SLOW if isinstance(error, openai.APITimeoutError) else Cause.BROKEN


def _answered(error: openai.APIStatusError) -> Cause:
    # Compared as text: a compatible server may put anything there.
    codes = {str(error.code), str(error.type)}
    status = error.status_code
    if codes & TOO_LONG or (status in NOT_UNDERSTOOD and SAYS_TOO_LONG in _words(error)):
        return Cause.TOO_LONG
    if status in OPERATORS or status < 400 or NO_MONEY in codes:
        return Cause.OPERATOR
    if status in OVERLOADED:
        return Cause.OVERLOADED
    return Cause.BROKEN if status in ON_THE_WAY or status >= 500 else Cause.REFUSED
