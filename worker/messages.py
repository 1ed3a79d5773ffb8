"""What travels through the broker: ids in chunks, never payloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from worker.errors import MessageError

VERSION = 1
MAX_IDS = 10_000  # a message of ours has a few; a bound for what strangers send

GENERATE = "generate"
GENERATE_GIVEN = "generate.given"
"""Tasks that bring their chains: the same stage, but no GPU is waited for."""

DECIDE = "decide"
RECONCILE = "reconcile"
CALIBRATE = "calibrate"
UPKEEP = "upkeep"
"""No queue of its own: whoever calibrates also makes the record's months and prunes."""

SEAL = "seal"
"""Not a queue: what the clock asks of the workers of ``calibrate``."""

VERIFY = {verifier: f"verify.{verifier}" for verifier in ("code", "embedding", "entailment", "facts", "math")}
"""The queue of each verifier; ``embedding`` judges no answer, but which answers are the same."""

STAGE_QUEUES = (GENERATE, GENERATE_GIVEN, *VERIFY.values(), DECIDE)
QUEUES = (*STAGE_QUEUES, RECONCILE, CALIBRATE)

BROKER_PRIORITIES = tuple(range(10))  # of Redis, where 0 is served first


def broker_priority(urgency: int) -> int:
    """Return the broker's priority for an urgency (9 is the most urgent task, 0 the broker's first)."""
    return BROKER_PRIORITIES[-1] - urgency


def encode(ids: Sequence[UUID]) -> dict[str, Any]:
    """Return the message that carries ``ids``."""
    return {"v": VERSION, "ids": [str(task_id) for task_id in ids]}


def decode(*arguments: object, **named: object) -> list[UUID]:
    """Return the ids that a message of these arguments carries.

    Raises:
        MessageError: It is of another version, or no message of ours.
    """
    if len(arguments) != 1 or named:
        raise MessageError(f"not one argument: {str((arguments, named))[:200]}")
    (message,) = arguments
    if not isinstance(message, dict) or message.get("v") != VERSION:
        raise MessageError(f"not a message of version {VERSION}: {str(message)[:200]}")
    try:
        ids = [UUID(text) for text in message["ids"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MessageError(f"no task ids in {str(message)[:200]}") from error
    if len(ids) > MAX_IDS:
        raise MessageError(f"{len(ids)} ids; {MAX_IDS} are the most that one message may carry")
    return ids
