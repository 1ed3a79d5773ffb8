"""Everything on record about one task, for a person who asks why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from db.ledger import CalibrationRow, DecisionRow, LabelRow
from db.models import TaskEventRow, TaskRow, VerdictRow
from worker.errors import UnknownTaskError
from worker.kinds import rules_of_kind
from worker.store.chains import StoredChain, each_explanation, load_chains
from worker.store.retention import pruned_under
from worker.store.texts import digest
from worker.store.transactions import transaction
from worker.submission.lines import TaskLine

# Batch by batch through the unique key: there is no index on names alone, which every submission would pay for.
BY_CUSTOM_ID = text("""
SELECT t.id FROM batches b JOIN tasks t ON t.batch_id = b.id AND t.custom_id = :custom_id
WHERE b.tenant = :tenant AND t.tenant = :tenant AND (CAST(:batch AS uuid) IS NULL OR b.id = :batch)
ORDER BY t.id DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One task from submission to decision; row values as plain mappings."""

    task: dict[str, Any]
    chains: list[StoredChain]
    verdicts: list[dict[str, Any]]
    """Each with ``chains``, the indices of those that gave the answer it is about."""

    decisions: list[dict[str, Any]]
    """The current one first, then older ones."""

    calibration: dict[str, Any] | None
    """The one that the current decision names."""

    labels: list[dict[str, Any]]
    events: list[dict[str, Any]]
    pruned: dict[str, UUID]
    """What was taken away (``evidence``), and under which pruning."""


def find_task(engine: Engine, name: str, *, tenant: str, batch: str | None = None) -> UUID:
    """Return the task called ``name``: its id, or its custom id (the newest one, or the one in batch ``batch``).

    Raises:
        UnknownTaskError: The tenant has no such task.
    """
    within = None if batch is None else _as_id(batch)
    if batch is not None and within is None:
        raise UnknownTaskError(f"{batch!r} is no batch id; `merge-reasoner status` lists them")
    task_id = _as_id(name)
    with transaction(engine) as connection:
        if task_id is not None:
            mine = select(TaskRow.id).where(TaskRow.id == task_id, TaskRow.tenant == tenant)
            found = connection.execute(mine).scalar_one_or_none()
        else:
            values = {"tenant": tenant, "custom_id": name, "batch": within}
            found = connection.execute(BY_CUSTOM_ID, values).scalar_one_or_none()
    if found is None:
        raise UnknownTaskError(f"no task {name!r}; give a task id, or a custom_id as it stood in the file")
    return found


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def load_story(engine: Engine, task_id: UUID) -> Story:
    """Return all that is on record about a task."""
    chains = load_chains(engine, [task_id])[task_id]
    with transaction(engine) as connection:
        task = _rows(connection, TaskRow, TaskRow.__table__.c.id == task_id)[0]
        line = TaskLine.model_validate(task["spec"])
        given_by = _given_by(chains, rules_of_kind(line.kind, line.language).normal_form)
        verdict, decision = VerdictRow.__table__.c, DecisionRow.__table__.c
        event, label = TaskEventRow.__table__.c, LabelRow.__table__.c
        decisions = _rows(
            connection,
            DecisionRow,
            decision.task_id == task_id,
            decision.is_current.desc(),
            decision.id.desc(),
        )
        calibrations = [
            calibration
            for d in decisions[:1]
            for calibration in _rows(
                connection, CalibrationRow, CalibrationRow.__table__.c.id == d["calibration_id"]
            )
        ]
        return Story(
            task=task,
            chains=chains,
            verdicts=[
                row | {"chains": given_by.get(row["claim"].get("program") or row["claim"].get("answer"), [])}
                for row in _rows(
                    connection, VerdictRow, verdict.task_id == task_id, verdict.verifier, verdict.candidate
                )
            ],
            decisions=decisions,
            calibration=calibrations[0] if calibrations else None,
            labels=_rows(connection, LabelRow, label.task_id == task_id, label.id),
            pruned=pruned_under(engine, [task_id], tenant=task["tenant"]).get(task_id, {}),
            events=_rows(connection, TaskEventRow, event.task_id == task_id, event.id),
        )


def _given_by(chains: list[StoredChain], normal_form: Callable[[str], str]) -> dict[str | None, list[int]]:
    """Return which chains gave each answer, by the digest of its normal form, as claims name it."""
    found: dict[str | None, list[int]] = {}
    for chain in each_explanation(chains):
        if chain.answer is not None:
            found.setdefault(digest(normal_form(chain.answer)), []).append(chain.index)
    return found


def _rows(connection: Connection, table: type[Any], condition: Any, *order: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (SQLAlchemy's expressions)
    statement = select(table.__table__).where(condition).order_by(*order)
    return [dict(row) for row in connection.execute(statement).mappings()]
