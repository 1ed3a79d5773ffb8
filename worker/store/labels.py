"""Labels as they come in: each added once, and told how it stands to those on record."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, Engine
from uuid_utils.compat import uuid7

from db import labels
from worker.store.texts import storable
from worker.store.transactions import statements, transaction

Name = tuple[UUID, str]
"""A batch and a custom_id."""

CLOCK_TOLERANCE = timedelta(minutes=10)  # a source's clock may be ahead of ours by so much


class Standing(StrEnum):
    """What became of a label."""

    NEW = "new"
    CORRECTED = "corrected"
    """The same source said otherwise before; this one is in force."""

    LATE = "late"
    """Kept, but a newer label is in force."""

    CONFLICTING = "conflicting"
    """Kept, but another source says otherwise of the same time: its answer counts as wrong until a newer label."""

    UNCHANGED = "unchanged"
    """It is on record already."""

    CONTRADICTED = "contradicted"
    """Not kept: its source said otherwise of the very same time."""

    UNDECIDED = "undecided"
    """Not kept: ``correct`` is about a decision, and there is none."""

    IN_FUTURE = "in_future"
    """Not kept: its time has not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """What a line says about a task that was found."""

    task_id: UUID
    answers: tuple[str, ...]
    correct: bool | None
    source: str
    at: datetime | None

    @property
    def content(self) -> tuple[tuple[str, ...], bool | None]:
        """What it says, whatever the order of the answers."""
        return tuple(sorted(set(self.answers))), self.correct


@dataclass(slots=True)
class _Known:
    """What is on record of one task."""

    labels: list[tuple[str, datetime, tuple[tuple[str, ...], bool | None]]] = field(default_factory=list)
    decision_id: UUID | None = None

    def said(self, source: str) -> list[tuple[datetime, tuple[tuple[str, ...], bool | None]]]:
        return sorted((at, content) for of, at, content in self.labels if of == source)


def find_tasks(
    engine: Engine, *, tenant: str, ids: Iterable[UUID], names: Iterable[Name]
) -> tuple[set[UUID], dict[Name, UUID]]:
    """Return which ids are tasks of the tenant, and the task of each name that is one."""
    wanted = list(names)
    by_name = {
        "tenant": tenant,
        "batches": [batch for batch, _ in wanted],
        "names": [name for _, name in wanted],
    }
    with statements(engine) as connection:
        known = set(connection.execute(labels.TASKS_BY_ID, {"tenant": tenant, "ids": list(ids)}).scalars())
        rows = connection.execute(labels.TASKS_BY_NAME, by_name).all()
    return known, {(row.batch_id, row.custom_id): row.id for row in rows}


def add_labels(engine: Engine, new: Sequence[NewLabel], *, tenant: str) -> list[Standing]:
    """Add what is not there yet, in one transaction, and return how each label stands, in order.

    A label without a time is of now, unless its source's newest says the same: sending a file again adds nothing.
    """
    ids = sorted({label.task_id for label in new})
    with transaction(engine) as connection:
        connection.execute(labels.LOCK_TASKS, {"ids": ids})
        now = connection.execute(labels.NOW).scalar_one()
        known = _known(connection, ids)
        standings, rows = [], []
        for label in new:
            of_task = known[label.task_id]
            at = label.at or now
            standing = _standing(label, at, of_task, now)
            standings.append(standing)
            if standing in {Standing.NEW, Standing.CORRECTED, Standing.LATE, Standing.CONFLICTING}:
                of_task.labels.append((label.source, at, label.content))
                rows.append(_row(label, at, of_task.decision_id, tenant))
        if rows:
            connection.execute(labels.INSERT_LABEL, rows)
    return standings


def _known(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, _Known]:
    found: dict[UUID, _Known] = defaultdict(_Known)
    for row in connection.execute(labels.LABELS_OF, {"ids": list(ids)}):
        content = (tuple(sorted({str(answer) for answer in row.answers})), row.correct)
        found[row.task_id].labels.append((row.source, row.at, content))
    for row in connection.execute(labels.CURRENT_DECISIONS, {"ids": list(ids)}):
        found[row.task_id].decision_id = row.id
    return found


def _standing(label: NewLabel, at: datetime, known: _Known, now: datetime) -> Standing:
    said = known.said(label.source)
    if at > now + CLOCK_TOLERANCE:
        return Standing.IN_FUTURE
    if label.at is None and said and said[-1][1] == label.content:
        return Standing.UNCHANGED
    same_time = [content for when, content in said if when == at]
    if same_time:
        return Standing.UNCHANGED if same_time[0] == label.content else Standing.CONTRADICTED
    if label.correct is not None and known.decision_id is None:
        return Standing.UNDECIDED
    return _among(label, at, known)


def _among(label: NewLabel, at: datetime, known: _Known) -> Standing:
    """Return how a label that is to be kept stands to the others."""
    if any(when > at for _, when, _ in known.labels):
        return Standing.LATE
    if any(when == at and content != label.content for _, when, content in known.labels):
        return Standing.CONFLICTING
    said = known.said(label.source)
    return Standing.CORRECTED if said and said[-1][1] != label.content else Standing.NEW


def _row(label: NewLabel, at: datetime, decision_id: UUID | None, tenant: str) -> dict[str, object]:
    return {
        "id": uuid7(),
        "task_id": label.task_id,
        "tenant": tenant,
        "answers": json.dumps([storable(answer) for answer in label.answers]),
        "correct": label.correct,
        "decision_id": decision_id if label.correct is not None else None,
        "source": label.source,
        "at": at,
    }
