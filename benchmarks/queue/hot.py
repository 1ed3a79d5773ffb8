"""The statements that run for every message, in every sweep, or whenever somebody looks, with values to run them on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, TextClause, select, text

from benchmarks.queue.filling import ids_in
from db import batches, dead, ending, gauges, leases, limits, outbox
from db.models import FINAL_STATES, ChainRow, VerdictRow
from worker.messages import DECIDE, GENERATE, VERIFY
from worker.store.chains import SET_TOKENS
from worker.store.transactions import Store
from worker.turns import GUARANTEED

UNDER_WAY = "ix_tasks_under_way"
TASK = "pk_tasks"
TURN = "pk_verifications"
WAITING_TURNS = "ix_verifications_waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hot:
    """One statement, how often it runs, and the indexes it must use."""

    name: str
    every: str
    """``message``, ``sweep`` or ``look`` (an operator's, a producer's, or Prometheus')."""

    statement: TextClause | Select[Any]
    values: dict[str, Any] = field(default_factory=dict)
    indexes: frozenset[str] = frozenset()


def hot_statements(store: Store, *, window: int = 2000) -> list[Hot]:
    """Return them with ids of tasks that are there, and with as many tasks in a sweep as fit ``window``."""
    with store.connect() as connection:
        query = text(
            "SELECT id, batch_id, tenant FROM tasks WHERE state = 'answered' ORDER BY id DESC LIMIT 1 OFFSET 1000"
        )
        batch = connection.execute(query).one()
        query = text(
            "SELECT id FROM tasks WHERE state = 'queued' AND published_at IS NULL ORDER BY id LIMIT 100"
        )
        backlog = list(connection.execute(query).scalars())
    by_state = {state: ids_in(store, state) for state in ("queued", "generating", "verifying", "deciding")}
    return [
        *_of_messages(by_state),
        *_of_sweeps(window, backlog),
        *_of_looks(batch.batch_id, batch.tenant, batch.id),
    ]


def _of_messages(by_state: dict[str, list[UUID]]) -> Iterator[Hot]:
    def hot(name: str, statement: TextClause | Select[Any], *indexes: str, **values: object) -> Hot:
        return Hot(name=name, every="message", statement=statement, values=values, indexes=frozenset(indexes))

    claim = {"holder": "h", "lease_s": 10, "max_deliveries": 3}
    ids = by_state["verifying"]
    held: dict[str, Any] = {"ids": ids, "attempts": [1] * len(ids), "lease_s": 10}
    yield hot(
        "claim tasks",
        leases.CLAIM_TASKS,
        TASK,
        ids=by_state["queued"],
        from_states=["queued", "generating"],
        to_state="generating",
        queue=GENERATE,
        **claim,
    )
    yield hot(
        "claim a verifier's turns",
        leases.CLAIM_VERIFICATIONS,
        TURN,
        TASK,
        ids=ids,
        verifier="math",
        queue=VERIFY["math"],
        **claim,
    )
    yield hot(
        "claim decisions",
        leases.CLAIM_TASKS,
        TASK,
        ids=by_state["deciding"],
        from_states=["deciding"],
        to_state="deciding",
        queue=DECIDE,
        **claim,
    )
    moves = by_state["generating"]
    yield hot(
        "move on",
        leases.MOVE_TASKS,
        TASK,
        ids=moves,
        attempts=[1] * len(moves),
        to_states=["deciding"] * len(moves),
        reasons=[""] * len(moves),
        errors=[None] * len(moves),
        from_state="generating",
        final_states=list(FINAL_STATES),
        who="w",
    )
    yield hot("tokens", SET_TOKENS, TASK, ids=moves, spent=[1] * len(moves), saved=[0] * len(moves))
    yield hot("renew tasks", leases.RENEW_TASKS, TASK, **held)
    yield hot("renew turns", leases.RENEW_VERIFICATIONS, TURN, **held, verifier="math")
    yield hot("lock what is verified", leases.LOCK_VERIFYING, "*tasks*", ids=ids)
    yield hot(
        "end turns",
        leases.END_VERIFICATIONS,
        ids=ids,
        attempts=[0] * len(ids),
        verifier="math",
        verifying=ids,
    )
    yield hot("decide when verified", leases.DECIDE_WHEN_VERIFIED, "*tasks*", ids=ids, who="w")
    chains, verdicts = ChainRow.__table__, VerdictRow.__table__
    yield hot(
        "read chains",
        select(chains).where(chains.c.task_id.in_(by_state["deciding"])).order_by(chains.c.task_id),
        "chains_*_pkey",  # of the partition
    )
    yield hot(
        "read verdicts",
        select(verdicts).where(verdicts.c.task_id.in_(by_state["deciding"])).order_by(verdicts.c.task_id),
        "verdicts_*_pkey",
    )


def _of_sweeps(window: int, backlog: list[UUID]) -> Iterator[Hot]:
    def hot(name: str, statement: TextClause, *indexes: str, **values: object) -> Hot:
        return Hot(name=name, every="sweep", statement=statement, values=values, indexes=frozenset(indexes))

    due = {"n": window, "lost_after_s": 600, "max_deliveries": 3}
    parking = {"max_deliveries": 3, "who": "w"}
    waiting = ["queued", "generating"]
    yield hot(
        "heads of the backlog",
        outbox.BACKLOG_HEADS,
        "ix_tasks_backlog",
        route=GENERATE,
        ageing_s=300,
        n=4 * GUARANTEED,
    )
    ids = backlog[:window]
    yield hot("publish", outbox.PUBLISH_FROM_BACKLOG, TASK, ids=ids, urgencies=[9] * len(ids))
    yield hot("out", outbox.OUT, UNDER_WAY, route=GENERATE)
    yield hot("begun", outbox.BEGUN, UNDER_WAY, route=GENERATE)
    yield hot("due", outbox.TASKS_DUE, UNDER_WAY, states=waiting, routes=[GENERATE], **due)
    yield hot("decisions due", outbox.TASKS_DUE, UNDER_WAY, states=["deciding"], routes=[GENERATE], **due)
    yield hot("turns due", outbox.VERIFICATIONS_DUE, WAITING_TURNS, verifier="math", **due)
    yield hot("park", outbox.PARK_TASKS, UNDER_WAY, **parking)
    yield hot("park a turn", outbox.PARK_VERIFICATIONS, WAITING_TURNS, **parking)
    yield hot("ripen", outbox.RIPEN, "ix_tasks_not_before")
    yield hot("turns", limits.TURNS)
    yield hot("have turns", limits.HAVE_TURNS, tenants=["a", "b"], models=["", "m"], numbers=[1, 2])
    yield hot("batch that is over", ending.OVER)
    yield hot("forget after a flush", outbox.FORGET_TASKS, UNDER_WAY)


def _of_looks(batch: UUID, tenant: str, middle: UUID) -> Iterator[Hot]:
    def hot(name: str, statement: TextClause, *indexes: str, **values: object) -> Hot:
        return Hot(name=name, every="look", statement=statement, values=values, indexes=frozenset(indexes))

    yield hot("metrics of tasks", gauges.STATES, UNDER_WAY)
    yield hot("metrics of turns", gauges.VERIFIERS, WAITING_TURNS)
    yield hot("queue list", limits.WAITING_TASKS, UNDER_WAY)
    yield hot("queue list, turns", limits.WAITING_VERIFICATIONS, WAITING_TURNS)
    yield hot("status of a batch", batches.ONE_BATCH, tenant=tenant, id=batch)
    # By the batch's index or by the keys from there on: either reads a page and no more.
    yield hot("page of results", batches.RESULTS, id=batch, after=middle, n=500)
    page = {
        "batch_id": batch,
        "after": UUID(int=0),
        "n": 20_000,
        "final_states": list(FINAL_STATES),
        "who": "w",
    }
    yield hot("expire", ending.EXPIRE_TASKS, **page)
    yield hot("cancel", ending.CANCEL_TASKS, **page)
    yield hot("retry", dead.RETRY, tenant=tenant, who="w", batch_id=batch, ids=None, only_dead=False)
    yield hot("dead letters", dead.DEAD_TASKS, "ix_tasks_failed", tenant=tenant, n=50)
