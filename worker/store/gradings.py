"""Gradings <-> rows: what is due, what it is graded from, and what a night reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, insert

from db import calibrations, entries, gradings
from db.nights import GradingRow
from worker.store.chains import StoredChain, load_chains
from worker.store.labelled import LabelledLine, Truth, task_lines
from worker.store.transactions import statements, transaction
from worker.submission.lines import TaskLine

PAGE = 500  # tasks of one transaction
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision of a task."""

    id: UUID
    created_at: datetime
    answer: str | None
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecord:
    """One label of a task."""

    id: UUID
    at: datetime
    recorded_at: datetime
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task that is to be graded, with every decision and label it ever had."""

    id: UUID
    domain: str
    line: TaskLine
    chains: list[StoredChain]
    decisions: list[DecisionRecord]
    labels: list[LabelRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What one label says of one decision."""

    grade: str
    correct: bool | None = None
    answerable: bool = False
    confidence: float = 0.0
    vote_margin: float = 0.0
    truth: int | None = None
    masses: list[float] = field(default_factory=list)
    right_chains: list[int] = field(default_factory=list)
    wrong_chains: list[int] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    weighted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """A grade and the span of time in which it held."""

    task: DueTask
    known_at: datetime
    until_at: datetime | None
    decision: DecisionRecord
    label: LabelRecord
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedRow:
    """A grading as a night reads it."""

    task_id: UUID
    decision_id: UUID
    label_id: UUID
    decided_at: datetime
    domain: str
    correct: bool
    answerable: bool
    confidence: float
    vote_margin: float
    truth: int | None
    masses: list[float]
    right_chains: list[int]
    wrong_chains: list[int]
    n_models: int
    weighted: bool


def due_tasks(engine: Engine, *, tenant: str) -> Iterator[list[DueTask]]:
    """Yield pages of the tenant's tasks with news since they were last graded, the longest-known first."""
    with statements(engine) as connection:
        since = connection.execute(calibrations.GRADED_THROUGH, {"tenant": tenant}).scalar_one()
    yield from _pages(engine, gradings.DUE_BY_LABEL, tenant=tenant, since=since)
    if since is not None:  # before the first complete pass every labelled task is looked at anyway
        yield from _pages(engine, gradings.DUE_BY_DECISION, tenant=tenant, since=since)


def _pages(
    engine: Engine, due: TextClause, *, tenant: str, since: datetime | None
) -> Iterator[list[DueTask]]:
    after = NOBODY
    while True:
        values = {"tenant": tenant, "since": since, "after": after, "n": PAGE}
        with statements(engine) as connection:
            ids = list(connection.execute(due, values).scalars())
            if not ids:
                return
            page = _load(connection, engine, ids)
        yield page
        after = ids[-1]


def _load(connection: Connection, engine: Engine, ids: Sequence[UUID]) -> list[DueTask]:
    decisions: dict[UUID, list[DecisionRecord]] = {id_: [] for id_ in ids}
    labels: dict[UUID, list[LabelRecord]] = {id_: [] for id_ in ids}
    values = {"ids": list(ids)}
    for row in connection.execute(gradings.DECISIONS_OF, values):
        decisions[row.task_id].append(
            DecisionRecord(id=row.id, created_at=row.created_at, answer=row.answer, document=row.document)
        )
    for row in connection.execute(gradings.LABELS_OF, values):
        decided = next((d.answer for d in decisions[row.task_id] if d.id == row.decision_id), None)
        truth = Truth(
            answers=tuple(str(answer) for answer in row.answers), correct=row.correct, decided=decided
        )
        labels[row.task_id].append(
            LabelRecord(id=row.id, at=row.at, recorded_at=row.recorded_at, truth=truth)
        )
    chains = load_chains(engine, ids)
    return [
        DueTask(
            id=row.id,
            domain=row.domain,
            line=TaskLine.model_validate(row.spec),
            chains=chains[row.id],
            decisions=decisions[row.id],
            labels=labels[row.id],
        )
        for row in connection.execute(gradings.TASKS, values)
    ]


def save_gradings(engine: Engine, tasks: Sequence[DueTask], found: Sequence[Grading], *, tenant: str) -> None:
    """Put the gradings of ``tasks`` in the place of those they had."""
    with transaction(engine) as connection:
        connection.execute(gradings.FORGET, {"ids": [task.id for task in tasks]})
        if found:
            connection.execute(insert(GradingRow), [_values(one, tenant) for one in found])
        connection.execute(entries.RELABEL, {"ids": [task.id for task in tasks]})


def _values(one: Grading, tenant: str) -> dict[str, object]:
    return {
        "task_id": one.task.id,
        "known_at": one.known_at,
        "until_at": one.until_at,
        "tenant": tenant,
        "domain": one.task.domain,
        "decision_id": one.decision.id,
        "label_id": one.label.id,
        "decided_at": one.decision.created_at,
        "n_decisions": len(one.task.decisions),
        "n_labels": len(one.task.labels),
        **asdict(one.grade),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which gradings a night looks at."""

    tenant: str
    as_of: datetime
    starts_at: datetime
    max_labels: int
    """Of one domain, the newest."""

    @property
    def values(self) -> dict[str, object]:
        """The parameters of its queries."""
        return {
            "tenant": self.tenant,
            "as_of": self.as_of,
            "window_from": self.starts_at,
            "n": self.max_labels,
        }


def graded_domains(engine: Engine, window: Window) -> list[str]:
    """Return the domains that have gradings."""
    with statements(engine) as connection:
        return list(connection.execute(gradings.DOMAINS, window.values).scalars())


def graded_rows(engine: Engine, window: Window, *, domain: str) -> list[GradedRow]:
    """Return the newest gradings of a domain in the order of decision; an empty domain is all of them."""
    statement = gradings.WINDOW_OF_DOMAIN if domain else gradings.WINDOW_OF_ALL
    with statements(engine) as connection:
        rows = connection.execute(statement, {**window.values, "domain": domain}).all()
    return [GradedRow(**row._mapping) for row in reversed(rows)]  # noqa: SLF001 (SQLAlchemy's public name)


def left_out(engine: Engine, window: Window) -> dict[str, dict[str, int]]:
    """Return per domain how many labels taught nothing: ``unknown`` and ``conflicting``."""
    found: dict[str, dict[str, int]] = {}
    with statements(engine) as connection:
        for row in connection.execute(gradings.LEFT_OUT, window.values):
            found.setdefault(row.domain, {})[row.grade] = row.n
    return found


def labelled_lines(engine: Engine, rows: Sequence[GradedRow]) -> Iterator[tuple[GradedRow, LabelledLine]]:
    """Yield each row with its task's line, chains and verdicts, in order."""
    yield from zip(rows, task_lines(engine, [row.task_id for row in rows]), strict=True)
