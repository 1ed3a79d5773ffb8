"""Gradings <-> rows: what is due, what it is graded from, and what a night reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, insert

from db import calibrations, entries, gradings
from db.nights import FORM, GradingRow
from reasoner.outcomes import Outcome
from worker.store.chains import StoredChain, load_chains
from worker.store.labelled import Truth
from worker.store.texts import REDACTED
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
class VerdictRecord:
    """One verdict on one answer of a task."""

    form: str
    """Digest of the answer's normal form."""

    verifier: str
    version: str
    outcome: Outcome
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task that is to be graded, with every decision and label it ever had."""

    id: UUID
    domain: str
    line: TaskLine
    chains: list[StoredChain]
    decisions: list[DecisionRecord]
    labels: list[LabelRecord]
    verdicts: list[VerdictRecord]

    @property
    def is_redacted(self) -> bool:
        """Whether its truth was redacted: a ledger that is imported doesn't say so but by the mark in its place."""
        return any(REDACTED in label.truth.answers for label in self.labels)


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
    verdicts: list[list[Any]] = field(default_factory=list)
    """Per verifier: name, version and the six counts of ``VerifierRates``."""

    ballot: list[int] = field(default_factory=list)
    """Who gave which answer (``worker.store.ballots``)."""

    ballot_masses: list[float] = field(default_factory=list)
    """Of the ballot's clusters; empty where they are ``masses``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """A grade and the span of time in which it held."""

    task: DueTask
    known_at: datetime
    until_at: datetime | None
    decision: DecisionRecord
    label: LabelRecord
    grade: Grade


def due_tasks(engine: Engine, *, tenant: str) -> Iterator[list[DueTask]]:
    """Yield pages of the tenant's tasks with news since they were last graded, the longest-known first."""
    with statements(engine) as connection:
        values = {"tenant": tenant, "form": FORM}
        since = connection.execute(calibrations.GRADED_THROUGH, values).scalar_one()
    yield from _pages(engine, gradings.DUE_BY_LABEL, tenant=tenant, since=since)
    if since is not None:  # before the first complete pass every labelled task is looked at anyway
        yield from _pages(engine, gradings.DUE_BY_DECISION, tenant=tenant, since=since)


def _pages(
    engine: Engine, due: TextClause, *, tenant: str, since: datetime | None
) -> Iterator[list[DueTask]]:
    after = NOBODY
    while True:
        values = {"tenant": tenant, "since": since, "after": after, "n": PAGE, "form": FORM}
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
    verdicts: dict[UUID, list[VerdictRecord]] = {id_: [] for id_ in ids}
    for row in connection.execute(gradings.VERDICTS_OF, values):
        verdicts[row.task_id].append(
            VerdictRecord(
                form=row.candidate.rpartition(":")[2],
                verifier=row.verifier,
                version=row.version,
                outcome=Outcome(row.outcome),
                created_at=row.created_at,
            )
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
            verdicts=verdicts[row.id],
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
        "form": FORM,
        **asdict(one.grade),
    }
