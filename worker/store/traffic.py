"""Pauses and rate limits as an operator sets them, and what waits where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from db import limits
from db.traffic import MOST, SLOWEST
from worker.messages import DECIDE, STAGE_QUEUES, VERIFY
from worker.store.texts import storable
from worker.store.transactions import statements


@dataclass(slots=True, kw_only=True)
class QueueState:
    """One queue as it stands."""

    name: str
    paused_at: datetime | None = None
    paused_by: str = ""
    why: str = ""
    window: int | None = None
    """Tasks that may wait in the broker at present; none where there is no window."""

    n_waiting: int = 0
    """Tasks whose next stage reads this queue, in the broker or not, those at work included."""

    n_backlog: int = 0
    """Of those, never handed to the broker yet."""

    oldest_s: float = 0.0
    """Seconds since the oldest of them was submitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many tasks of a tenant, or of a model, may start."""

    scope: str
    """``tenant`` or ``model``."""

    name: str
    per_s: float
    burst: float
    """Tasks that may start at once after a quiet time."""

    tokens: float
    """Of the burst, what was left at the last sweep."""


def pause(engine: Engine, queue: str, *, who: str, why: str) -> None:
    """Let no stage of ``queue`` begin until ``resume``; what is at work ends."""
    with statements(engine) as connection:
        connection.execute(limits.PAUSE, {"name": queue, "who": who, "why": storable(why)})


def resume(engine: Engine, queue: str) -> bool:
    """Let stages of ``queue`` begin again; return whether it was paused."""
    with statements(engine) as connection:
        return connection.execute(limits.RESUME, {"name": queue}).rowcount > 0


def queue_states(engine: Engine) -> list[QueueState]:
    """Return every queue of a stage, in the order of a task's life."""
    states = {name: QueueState(name=name) for name in STAGE_QUEUES}
    with statements(engine) as connection:
        for row in connection.execute(limits.PAUSED):
            if (state := states.get(row.name)) is not None:
                state.paused_at, state.paused_by, state.why = row.paused_at, row.paused_by, row.why
                state.window = row.window_tasks
        for row in connection.execute(limits.WAITING_TASKS):
            _add(states[DECIDE if row.state == "deciding" else row.route], row.n, row.oldest_s, row.n_backlog)
        for row in connection.execute(limits.WAITING_VERIFICATIONS):
            _add(states[VERIFY[row.verifier]], row.n, row.oldest_s)
    return list(states.values())


def _add(state: QueueState, n: int, oldest_s: float, n_backlog: int = 0) -> None:
    state.n_waiting += n
    state.n_backlog += n_backlog
    state.oldest_s = max(state.oldest_s, float(oldest_s))


def set_limit(engine: Engine, *, scope: str, name: str, per_s: float, burst: float) -> None:
    """Let at most ``per_s`` tasks a second start, and ``burst`` at once.

    Raises:
        ValueError: A number is out of reach: sweeps could not reckon with it.
    """
    for number, least, what in ((per_s, SLOWEST, "tasks a second"), (burst, 1.0, "tasks at once")):
        if not least <= number <= MOST:
            raise ValueError(f"{number:g} {what} is out of reach: {least:g} to {MOST:g} can be set")
    with statements(engine) as connection:
        values = {"scope": scope, "name": storable(name), "per_s": per_s, "burst": burst}
        connection.execute(limits.SET_LIMIT, values)


def remove_limit(engine: Engine, *, scope: str, name: str) -> bool:
    """Lift a limit; return whether there was one."""
    with statements(engine) as connection:
        return connection.execute(limits.REMOVE_LIMIT, {"scope": scope, "name": storable(name)}).rowcount > 0


def all_limits(engine: Engine) -> list[Limit]:
    """Return every limit."""
    with statements(engine) as connection:
        rows = connection.execute(limits.LIMITS).mappings().all()
    return [Limit(**row) for row in rows]
