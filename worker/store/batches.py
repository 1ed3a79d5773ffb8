"""Batches: written in one transaction, found again by their key, counted, read out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from uuid_utils.compat import uuid7

from db import batches
from db.models import FINAL_STATES
from worker.messages import GENERATE, GENERATE_GIVEN
from worker.store.transactions import statements, transaction
from worker.submission.lines import TaskLine

PAGE = 500  # tasks of one read when results are written out


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One submission as it stands."""

    id: UUID
    source: str
    n_tasks: int
    n_rejected_lines: int
    created_at: datetime
    cancelled_at: datetime | None
    deadline_at: datetime | None = None
    states: dict[str, int] = field(default_factory=dict)
    n_expired: int = 0
    """Of those that failed: how many because the deadline passed."""

    @property
    def n_finished(self) -> int:
        """Tasks in a final state."""
        return sum(self.states.get(state, 0) for state in FINAL_STATES)

    @property
    def has_expired(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_at is not None and self.deadline_at <= datetime.now(UTC)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.n_finished == self.n_tasks


@dataclass(slots=True)
class Written:
    """What one transaction put in, counted while it streams."""

    batch_id: UUID
    n_tasks: int = 0


def find_batch(engine: Engine, *, tenant: str, key: str) -> Batch | None:
    """Return the batch that was submitted with this key, if any."""
    with statements(engine) as connection:
        row = (
            connection.execute(batches.BATCH_BY_KEY, {"tenant": tenant, "key": key}).mappings().one_or_none()
        )
    return None if row is None else _batch(row)


def write_batch(
    engine: Engine,
    lines: Iterable[TaskLine],
    *,
    tenant: str,
    key: str,
    source: str,
    who: str,
    n_rejected: Callable[[], int],
    not_before: datetime | None = None,
    deadline: datetime | None = None,
) -> Written | None:
    """Stream ``lines`` into one new batch, all or nothing; ``None`` when the key is taken already.

    Args:
        engine: The database.
        lines: Read while they are sent; an exception from it rolls everything back.
        tenant: Owner of every row.
        key: Idempotency key, unique per tenant. A second submitter with the same key waits here for the first.
        source: The file's name, for people.
        who: Stands in the tasks' first event.
        n_rejected: Asked after ``lines`` has ended.
        not_before: Of tasks that name no time of their own.
        deadline: What is unfinished by then fails.
    """
    batch_id = uuid7()
    written = Written(batch_id=batch_id)
    # Beside the rows and not in memory: one connection can take one COPY at a time, and a batch may have millions.
    with transaction(engine) as connection, tempfile.TemporaryFile("w+", encoding="utf-8") as labels:
        values = {"id": batch_id, "tenant": tenant, "key": key, "source": source, "deadline": deadline}
        if connection.execute(batches.INSERT_BATCH, values).one_or_none() is None:
            return None
        rows = _task_rows(lines, batch_id, labels, tenant=tenant, not_before=not_before)
        written.n_tasks = batches.copy_rows(connection, "tasks", batches.TASK_COLUMNS, rows)
        _write_labels(connection, labels, tenant=tenant)
        connection.execute(batches.FIRST_EVENTS, {"id": batch_id, "who": who})
        counts = {"id": batch_id, "n_tasks": written.n_tasks, "n_rejected_lines": n_rejected()}
        connection.execute(batches.SET_COUNTS, counts)
    return written


def _task_rows(
    lines: Iterable[TaskLine],
    batch_id: UUID,
    labels: IO[str],
    *,
    tenant: str,
    not_before: datetime | None,
) -> Iterator[tuple[Any, ...]]:
    for line in lines:
        task_id = uuid7()
        if line.labels:
            labels.write(json.dumps([str(task_id), line.labels]) + "\n")
        yield (
            str(task_id),
            str(batch_id),
            tenant,
            line.custom_id,
            line.kind,
            line.mode,
            line.domain or line.kind,
            line.model_dump_json(exclude={"label"}, exclude_unset=True, by_alias=True),
            GENERATE_GIVEN if line.is_given else GENERATE,
            "" if line.is_given else ",".join(line.options.models),
            line.options.priority,
            line.options.not_before or not_before,
        )


def _write_labels(connection: Connection, labels: IO[str], *, tenant: str) -> None:
    if labels.tell():
        labels.seek(0)
        found = map(json.loads, labels)
        batches.copy_labels(
            connection, ((str(uuid7()), id_, tenant, answers, "submission") for id_, answers in found)
        )


def recent_batches(engine: Engine, *, tenant: str, n: int) -> list[Batch]:
    """Return the newest ``n`` batches, newest first, with their tasks counted by state."""
    with statements(engine) as connection:
        rows = connection.execute(batches.LIST_BATCHES, {"tenant": tenant, "n": n}).mappings().all()
    return [_batch(row) for row in rows]


def get_batch(engine: Engine, batch_id: UUID, *, tenant: str) -> Batch | None:
    """Return one batch with its tasks counted by state, or ``None`` when the tenant has no such batch."""
    with statements(engine) as connection:
        row = (
            connection.execute(batches.ONE_BATCH, {"id": batch_id, "tenant": tenant}).mappings().one_or_none()
        )
    return None if row is None else _batch(row)


def results(engine: Engine, batch_id: UUID) -> Iterator[dict[str, Any]]:
    """Yield the decision line of every task of a batch, in the order of submission, page by page."""
    after = UUID(int=0)
    while True:
        with statements(engine) as connection:
            page = (
                connection.execute(batches.RESULTS, {"id": batch_id, "after": after, "n": PAGE})
                .mappings()
                .all()
            )
            ids = [row["id"] for row in page]
            counts = connection.execute(batches.VERDICT_COUNTS, {"ids": ids}).all() if ids else []
        if not page:
            return
        summary: dict[UUID, dict[str, dict[str, int]]] = {}
        for count in counts:
            summary.setdefault(count.task_id, {}).setdefault(count.verifier, {})[count.outcome] = count.n
        for row in page:
            yield _decision_line(row, summary.get(row["id"], {}))
        after = ids[-1]


def _decision_line(row: Any, verdicts: dict[str, dict[str, int]]) -> dict[str, Any]:  # noqa: ANN401 (a row mapping)
    decision = dict(row["document"] or {})
    clusters = decision.pop("clusters", [])
    line = {
        "custom_id": row["custom_id"],
        "task_id": str(row["id"]),
        "state": row["state"],
        "answer": decision.pop("answer", None),
        **decision,
        "set_size": sum(cluster["in_set"] for cluster in clusters),
        "verdicts": verdicts,
        "tokens": {"spent": row["tokens_spent"], "saved": row["tokens_saved"]},
        "calibration_id": None if row["calibration_id"] is None else str(row["calibration_id"]),
        "error": row["error"],
    }
    if row["document"] is None:
        del line["set_size"]
    return line


def _batch(row: Any) -> Batch:  # noqa: ANN401 (a row mapping)
    return Batch(
        id=row["id"],
        source=row["source"],
        n_tasks=row["n_tasks"],
        n_rejected_lines=row["n_rejected_lines"],
        created_at=row["created_at"],
        cancelled_at=row["cancelled_at"],
        deadline_at=row["deadline_at"],
        states=row.get("states") or {},
        n_expired=row.get("n_expired") or 0,
    )
