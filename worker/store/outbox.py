"""What waits in Postgres and should be in the broker; what kills its workers and is parked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause

from db import limits, outbox
from worker.line import Waiting
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.store.transactions import transaction
from worker.turns import FIRST_WINDOW, GUARANTEED, Limits, Standing, Turns, next_window, take_turns_from

LOST_WHEN_EMPTY_S = 3.0
"""A message whose queue is empty and whose row nobody took for so long is lost."""

LOST_WHEN_BUSY_S = 600.0
"""With other messages before it, it may just be waiting; twice in the queue would be waste, not harm."""

UNDER_WAY_WINDOWS = 4
"""Windows of one tenant's tasks that may be between their first stage and their decision: a slow verifier must slow
down generation instead of filling the broker, and only for the tenant whose tasks it is."""

Due = dict[str, list[list[tuple[UUID, int]]]]
"""Tasks to publish, as (id, urgency), by queue, in groups that may share messages.

A task whose stage was begun before and never ended is a group of its own: it may be what broke its worker, and those
that travelled with it must not be parked for it.
"""


class BrokerView(Protocol):
    """What the reconciler asks the broker."""

    def depth(self, queue: str) -> int:
        """Return how many messages of a queue are waiting."""
        ...

    def identity(self) -> str:
        """Return a word that changes when the broker may have lost messages: flushed, restarted or replaced."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRules:
    """What the operator set."""

    window: int
    """Tasks of one route that may wait in the broker at most."""

    max_deliveries: int
    """Claims of one stage after which a task is parked as failed."""

    ageing_s: float
    """A waiting task rises by one priority in this time."""

    message_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep found."""

    due: Due
    n_expired: Mapping[str, int] = field(default_factory=dict)
    """Leases that had run out, by queue: their workers died, stood still or lost the database."""

    n_parked: int = 0
    """Tasks given up as dead letters."""


@dataclass(slots=True)
class _Queue:
    window: int | None = None
    is_paused: bool = False
    broker: str = ""


def sweep(engine: Engine, *, broker: BrokerView, rules: SweepRules, who: str) -> Swept:
    """Park what was begun too often, mark what is due as published and return it; nothing while another sweeps.

    Args:
        engine: The database.
        broker: Asked about each queue, and whether it is still the one that was published to.
        rules: What the operator set.
        who: Stands in the events.
    """
    with transaction(engine) as connection:
        if not connection.execute(outbox.TRY_LOCK).scalar_one():
            return Swept(due={})
        values = {"max_deliveries": rules.max_deliveries, "who": who}
        n_parked = len(connection.execute(outbox.PARK_TASKS, values).all())
        n_parked += len(connection.execute(outbox.PARK_VERIFICATIONS, values).all())
        connection.execute(outbox.RIPEN)
        running = _Sweep(connection, broker, rules)
        return Swept(due=running.run(), n_expired=running.n_expired, n_parked=n_parked)


class _Sweep:
    """One sweep in its transaction."""

    def __init__(self, connection: Connection, broker: BrokerView, rules: SweepRules) -> None:
        self._connection = connection
        self._broker = broker
        self._rules = rules
        self._found: Due = defaultdict(list)
        self.n_expired: Counter[str] = Counter()
        self._queues = {
            row.name: _Queue(row.window_tasks, row.is_paused, row.broker)
            for row in connection.execute(outbox.QUEUES)
        }

    def run(self) -> Due:
        self._notice_another_broker()
        both = [GENERATE, GENERATE_GIVEN]
        running = [route for route in both if not self._is_paused(route)]
        for route in running:
            self._late(route, outbox.TASKS_DUE, states=["queued", "generating"], routes=[route])
        self._top_up(running)
        if not self._is_paused(DECIDE):
            self._late(DECIDE, outbox.TASKS_DUE, states=["deciding"], routes=both)
        for verifier, queue in VERIFY.items():
            if not self._is_paused(queue):
                self._late(queue, outbox.VERIFICATIONS_DUE, verifier=verifier)
        return self._found

    def _is_paused(self, queue: str) -> bool:
        return queue in self._queues and self._queues[queue].is_paused

    def _notice_another_broker(self) -> None:
        identity, known = self._broker.identity(), self._queues.get(DECIDE, _Queue()).broker
        if known == identity:
            return
        if known:
            self._connection.execute(outbox.FORGET_TASKS)
            self._connection.execute(outbox.FORGET_VERIFICATIONS)
        self._connection.execute(
            outbox.REMEMBER_QUEUE, {"name": DECIDE, "window_tasks": None, "broker": identity}
        )

    def _late(self, queue: str, statement: TextClause, **values: object) -> None:
        lost_after_s = LOST_WHEN_EMPTY_S if self._broker.depth(queue) == 0 else LOST_WHEN_BUSY_S
        parameters = {
            **values,
            "n": self._rules.window,
            "lost_after_s": lost_after_s,
            "max_deliveries": self._rules.max_deliveries,
        }
        rows = self._connection.execute(statement, parameters).all()
        self.n_expired[queue] += sum(row.lapsed for row in rows)
        if fresh := [(row.id, row.urgency) for row in rows if row.deliveries == 0]:
            self._found[queue].append(fresh)
        self._found[queue] += [[(row.id, row.urgency)] for row in rows if row.deliveries > 0]

    def _top_up(self, routes: Sequence[str]) -> None:
        """Publish what is next, of all routes at once: a tenant's tokens are for its most urgent tasks in any."""
        standings, windows = {}, {}
        for route in routes:
            standings[route], windows[route] = self._standing(route)
        limits_now = self._limits()
        turns = take_turns_from(partial(self._heads, routes), standings, limits_now)
        for route in routes:
            n_out = sum(standings[route].out.values())
            self._remember_window(route, windows[route], n_out=n_out, n_chosen=len(turns.chosen[route]))
            self._publish(route, turns.chosen[route])
        self._remember(turns)

    def _standing(self, route: str) -> tuple[Standing, int]:
        """Return what is out and what may go, and the window that this comes from."""
        out = {
            (row.tenant, row.priority): row.n
            for row in self._connection.execute(outbox.OUT, {"route": route})
        }
        begun = {row.tenant: row.n for row in self._connection.execute(outbox.BEGUN, {"route": route})}
        n_out = sum(out.values())
        known = self._queues.get(route, _Queue())
        window = next_window(known.window, n_out=n_out, cap=self._rules.window)
        under_way = UNDER_WAY_WINDOWS * self._rules.window
        standing = Standing(
            room=max(window - n_out, 0),
            guaranteed=min(GUARANTEED, window),
            out=out,
            allowance={tenant: max(under_way - n, 0) for tenant, n in begun.items()},
            step=self._rules.message_tasks,
        )
        return standing, window

    def _remember_window(self, route: str, window: int, *, n_out: int, n_chosen: int) -> None:
        if n_chosen == 0 and n_out == 0:
            return  # idle: the window says nothing about how fast workers are
        known = self._queues.get(route, _Queue())
        if n_chosen + n_out <= (known.window or FIRST_WINDOW):
            window = min(window, known.window or window)  # a window that was not filled need not grow
        if window != known.window:
            remembered = {"name": route, "window_tasks": window, "broker": known.broker}
            self._connection.execute(outbox.REMEMBER_QUEUE, remembered)

    def _limits(self) -> Limits:
        tokens = {(row.scope, row.name): row.tokens for row in self._connection.execute(limits.REFILL)}
        had = {(row.tenant, row.model): row.n for row in self._connection.execute(limits.TURNS)}
        return Limits(tokens=tokens, turns=had)

    def _heads(self, routes: Sequence[str], n: int) -> list[Waiting]:
        found: list[Waiting] = []
        for route in routes:
            values = {"route": route, "ageing_s": self._rules.ageing_s, "n": n}
            heads = self._connection.execute(outbox.BACKLOG_HEADS, values)
            found += [Waiting(**row) for row in heads.mappings()]
        return found

    def _publish(self, route: str, chosen: Sequence[tuple[UUID, int]]) -> None:
        if not chosen:
            return
        urgencies = dict(chosen)
        values = {"ids": list(urgencies), "urgencies": list(urgencies.values())}
        published = {row.id for row in self._connection.execute(outbox.PUBLISH_FROM_BACKLOG, values)}
        self._found[route].append([(id_, urgency) for id_, urgency in chosen if id_ in published])

    def _remember(self, turns: Turns) -> None:
        for (scope, name), n in sorted(turns.spent.items()):
            self._connection.execute(limits.SPEND, {"scope": scope, "name": name, "n": n})
        if turns.had:
            keys = sorted(turns.had)
            values = {
                "tenants": [tenant for tenant, _ in keys],
                "models": [model for _, model in keys],
                "numbers": [turns.had[key] for key in keys],
            }
            self._connection.execute(limits.HAVE_TURNS, values)
