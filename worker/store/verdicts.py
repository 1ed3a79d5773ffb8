"""Verdicts: what verification writes and the decision reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from db import leases
from db.models import VerdictRow
from reasoner.outcomes import Outcome
from verifiers.verdicts import Verdict
from worker.store.leases import HeldTask, Moved
from worker.store.texts import storable, storable_json
from worker.store.transactions import statements, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict together with what it is about."""

    candidate: str
    """Key of the claim within the task, e.g. ``answer:0:<digest>`` or ``equivalence``."""

    claim: dict[str, Any]
    """Which answer (by the digest of its normal form) was judged against which spec; JSON values."""

    verdict: Verdict
    limits: dict[str, Any] = field(default_factory=dict)


def save_verified(
    engine: Engine, judged: Sequence[tuple[HeldTask, Sequence[Judged]]], *, verifier: str, who: str
) -> list[Moved]:
    """Write the verdicts of turns that are still ours; return the tasks for which the last verdict arrived.

    The tasks' rows are locked first: of two verifiers that end at the same time, the second to get the lock sees
    the first one's turn done, so exactly one of them moves the task on.
    """
    ids = [task.id for task, _ in judged]
    with transaction(engine) as connection:
        verifying = [row.id for row in connection.execute(leases.LOCK_VERIFYING, {"ids": ids})]
        ended = {
            row.task_id
            for row in connection.execute(
                leases.END_VERIFICATIONS,
                {
                    "ids": ids,
                    "attempts": [task.attempt for task, _ in judged],
                    "verifier": verifier,
                    "verifying": verifying,
                },
            )
        }
        values = [_values(task, one) for task, all_of_it in judged if task.id in ended for one in all_of_it]
        if values:
            connection.execute(insert(VerdictRow).on_conflict_do_nothing(), values)
        moved = connection.execute(leases.DECIDE_WHEN_VERIFIED, {"ids": list(ended), "who": who}).all()
    return [Moved(id=row.id, urgency=row.urgency, to_state="deciding") for row in moved]


def _values(task: HeldTask, judged: Judged) -> dict[str, object]:
    verdict = judged.verdict
    return {
        "task_id": task.id,
        "candidate": judged.candidate,
        "verifier": verdict.verifier,
        "version": verdict.version,
        "tenant": task.tenant,
        "outcome": verdict.outcome.value,
        "reason": storable(verdict.reason),
        "claim": storable_json(judged.claim),
        "evidence": storable_json(verdict.evidence),
        "limits": storable_json(judged.limits),
        "elapsed_s": verdict.elapsed_s,
        "attempt": task.attempt,
    }


def load_verdicts(engine: Engine, ids: Iterable[UUID]) -> dict[UUID, list[Judged]]:
    """Return each task's verdicts in the order of verifier and candidate; every id has an entry."""
    wanted = list(ids)
    found: dict[UUID, list[Judged]] = {task_id: [] for task_id in wanted}
    columns = VerdictRow.__table__.c
    statement = (
        select(VerdictRow.__table__)
        .where(columns.task_id.in_(wanted))
        .order_by(columns.task_id, columns.verifier, columns.candidate, columns.version)
    )
    with statements(engine) as connection:
        for row in connection.execute(statement):
            verdict = Verdict(
                verifier=row.verifier,
                version=row.version,
                outcome=Outcome(row.outcome),
                reason=row.reason,
                elapsed_s=row.elapsed_s,
                evidence=row.evidence,
            )
            found[row.task_id].append(
                Judged(candidate=row.candidate, claim=row.claim, verdict=verdict, limits=row.limits)
            )
    return found
