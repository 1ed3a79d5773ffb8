"""Seals in the database: what is due, what is kept, and each row of the record as it is hashed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import batches, labels, sealing
from db.models import FINAL_STATES
from worker.errors import SealBusyError
from worker.hashes.leaves import NO_SALTS, Hashed, Redacted, Row, Salts
from worker.store.transactions import statements, transaction

ResultT = TypeVar("ResultT")

SETTLE_S = 2.0
"""A seal reaches no nearer to the present: time for a transaction that begins to be seen by others."""

ENTRY_COLUMNS = (
    "seal_number",
    "position",
    "kind",
    "subject_id",
    "about_id",
    "at",
    "names",
    "leaves",
    "marks",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What one entry is about."""

    kind: str
    subject_id: UUID
    about_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry as it is kept."""

    seal_number: int
    position: int
    kind: str
    subject_id: UUID
    about_id: UUID
    at: datetime
    names: list[str]
    leaves: bytes
    marks: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal as it is kept."""

    number: int
    header: str
    hash: bytes
    root: bytes
    n_entries: int
    until_at: datetime
    sealed_at: datetime
    who: str


@contextmanager
def only_sealer(engine: Engine) -> Iterator[None]:
    """Be the only one who seals for the length of the block.

    Raises:
        SealBusyError: Somebody else is at it.
    """
    with statements(engine) as connection:
        if not connection.execute(sealing.TRY_LOCK).scalar_one():
            raise SealBusyError("another process is sealing")
        try:
            yield
        finally:
            connection.execute(sealing.UNLOCK)


def horizon(engine: Engine) -> datetime:
    """Return the time before which everything that will ever be on record is on record."""
    with statements(engine) as connection:
        found: datetime = connection.execute(sealing.HORIZON, {"settle_s": SETTLE_S}).scalar_one()
        return found


def now(engine: Engine) -> datetime:
    """Return the database's time."""
    with statements(engine) as connection:
        found: datetime = connection.execute(labels.NOW).scalar_one()
        return found


def last_seal(engine: Engine) -> Seal | None:
    """Return the newest seal."""
    with statements(engine) as connection:
        row = connection.execute(sealing.LAST_SEAL).one_or_none()
    return None if row is None else Seal(**row._mapping)  # noqa: SLF001 (SQLAlchemy's public name)


def seals_after(engine: Engine, number: int = 0) -> list[Seal]:
    """Return the seals with a higher number, in order."""
    with statements(engine) as connection:
        rows = connection.execute(sealing.ALL_SEALS, {"after": number}).mappings()
        return [Seal(**row) for row in rows]


def due(engine: Engine, *, since: datetime, until: datetime, n: int) -> list[Subject]:
    """Return what is of a time from ``since`` to before ``until`` and in no seal, oldest first, ``n`` at most."""
    with transaction(engine) as connection:
        connection.execute(sealing.BY_INDEX)
        rows = connection.execute(sealing.DUE, {"since": since, "until": until, "n": n}).mappings()
        return [Subject(**row) for row in rows]


def lost_rows(engine: Engine, task_id: UUID | None, *, at_most: int) -> list[tuple[str, UUID, UUID, str]]:
    """Return what is in no seal and bears a time that none will reach: kind, subject, about and the time, as text."""
    with statements(engine) as connection:
        rows = connection.execute(sealing.LOST, {"id": task_id, "n": at_most})
        return [(row.kind, row.subject_id, row.about_id, row.at) for row in rows]


def due_of_task(engine: Engine, task_id: UUID, *, until: datetime) -> list[Subject]:
    """Return the decisions and labels of one task that are of a time before ``until`` and in no seal."""
    with statements(engine) as connection:
        rows = connection.execute(sealing.DUE_OF_TASK, {"id": task_id, "until": until}).mappings()
        return [Subject(**row) for row in rows]


def n_unsealed(engine: Engine, *, since: datetime, at_most: int) -> int:
    """Return how many decisions made since then are in no seal."""
    with statements(engine) as connection:
        return int(connection.execute(sealing.N_UNSEALED, {"since": since, "n": at_most}).scalar_one())


def write_seal(
    engine: Engine,
    seal: Seal,
    entries: Iterable[tuple[Subject, Hashed]],
    *,
    seeds: Sequence[tuple[UUID, int, bytes]],
) -> None:
    """Keep a seal with its entries and the new seeds of its tasks, all or nothing."""
    rows = (
        (
            seal.number,
            position,
            subject.kind,
            subject.subject_id,
            subject.about_id,
            subject.at,
            hashed.names,
            hashed.leaves,
            hashed.marks,
        )
        for position, (subject, hashed) in enumerate(entries)
    )
    values = {
        "number": seal.number,
        "header": seal.header,
        "hash": seal.hash,
        "root": seal.root,
        "n_entries": seal.n_entries,
        "until_at": seal.until_at,
        "sealed_at": seal.sealed_at,
        "who": seal.who,
    }
    with transaction(engine) as connection:
        batches.copy_rows(connection, "seal_salts", ("task_id", "number", "seed"), seeds)
        batches.copy_rows(connection, "seal_entries", ENTRY_COLUMNS, rows)
        connection.execute(sealing.INSERT_SEAL, values)


def entries_of(engine: Engine, number: int, first: int, last: int) -> list[Entry]:
    """Return the entries of a seal at positions from ``first`` to before ``last``."""
    with statements(engine) as connection:
        values = {"number": number, "first": first, "last": last}
        return [Entry(**row) for row in connection.execute(sealing.ENTRIES, values).mappings()]


def entries_about(engine: Engine, id_: UUID) -> list[Entry]:
    """Return the entries about a task, oldest first."""
    with statements(engine) as connection:
        return [Entry(**row) for row in connection.execute(sealing.ENTRIES_ABOUT, {"id": id_}).mappings()]


def leaves_of(engine: Engine, number: int) -> list[bytes]:
    """Return the kept leaves of each entry of a seal, in order."""
    with statements(engine) as connection:
        return list(connection.execute(sealing.LEAVES, {"number": number}).scalars())


def stray_entries(engine: Engine, *, at_most: int) -> list[tuple[int, int, str, UUID, UUID]]:
    """Return entries that no seal counts: seal, position, kind, subject, about."""
    with statements(engine) as connection:
        return [tuple(row) for row in connection.execute(sealing.STRAY_ENTRIES, {"n": at_most})]


def unsealed_of(engine: Engine, task_id: UUID) -> str:
    """Return what keeps a task from being wholly sealed, in words; empty when nothing does."""
    with statements(engine) as connection:
        row = connection.execute(sealing.TASK_STANDING, {"id": task_id}).one()
    if row.state not in FINAL_STATES:
        return f"is {row.state}; wait until it is done, or cancel it"
    if row.n_decisions or row.n_labels:
        return f"has {row.n_decisions} decisions and {row.n_labels} labels in no seal; run `audit seal` first"
    return ""


def names_about(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, set[str]]:
    """Return the rows' names that any entry about these tasks has."""
    found: dict[UUID, set[str]] = defaultdict(set)
    with statements(engine) as connection:
        for row in connection.execute(sealing.NAMES_ABOUT, {"ids": list(ids)}):
            found[row.about_id].update(row.names)
    return found


def salts_of(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, Salts]:
    """Return the salts of these tasks, with what redactions left of them; a task that never had any is left out."""
    found: dict[UUID, Salts] = {}
    with statements(engine) as connection:
        rows = connection.execute(sealing.SEEDS, {"ids": list(ids)}).all()
        without = list({row.task_id for row in rows if row.seed is None})
        redacted = _redacted(connection, without) if without else {}
    for row in rows:
        before = found.get(row.task_id, NO_SALTS)
        found[row.task_id] = Salts(
            seed=before.seed or row.seed,
            n_seeds=before.n_seeds + 1,
            kept={**before.kept, **(row.kept or {})},
            redacted=redacted.get(row.task_id, {}),
        )
    return found


def _redacted(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Redacted]]:
    found: dict[UUID, dict[str, Redacted]] = defaultdict(dict)
    for row in connection.execute(sealing.REDACTED, {"ids": list(ids)}):
        for place, one in row.details["texts"].items():
            found[row.task_id][place] = Redacted(digest=bytes.fromhex(one["salted"]), now=one["now"])
    return found


def rows_of(engine: Engine, subjects: Sequence[Subject | Entry]) -> dict[UUID, list[Row]]:
    """Return the rows on record of each subject, in the order of its leaves; a subject without any is left out."""
    with transaction(engine) as connection:
        return rows_in(connection, subjects)


def rows_in(connection: Connection, subjects: Sequence[Subject | Entry]) -> dict[UUID, list[Row]]:
    """Return the same as ``rows_of``, within an open transaction."""
    ids: dict[str, list[UUID]] = defaultdict(list)
    for subject in subjects:
        ids[subject.kind].append(subject.subject_id)
    found: dict[UUID, list[Row]] = {}
    connection.execute(sealing.FORM)
    if "decision" in ids:
        decisions = [subject for subject in subjects if subject.kind == "decision"]
        found |= _decisions(connection, decisions)
    for kind, statement in sealing.ROWS_BY_KIND.items():
        if kind in ids:
            for id_, *texts in connection.execute(statement, {"ids": ids[kind]}):
                name = f"label {id_}" if kind == "label" else kind
                found[id_] = [Row(name, tuple(texts))]
    return found


def _decisions(connection: Connection, subjects: Sequence[Subject | Entry]) -> dict[UUID, list[Row]]:
    """Return task, decision, chains by index and verdicts by verifier, version and candidate."""
    tasks = list({subject.about_id for subject in subjects})
    mine = {"ids": [subject.subject_id for subject in subjects]}
    clusters = _grouped(connection.execute(sealing.CLUSTER_ROWS, mine).all(), _cluster)
    decided = {
        id_: _decision(id_, fields, answer, document, clusters.get(id_, []))
        for id_, _, fields, answer, document in connection.execute(sealing.DECISION_ROWS, mine).all()
    }
    asked = {
        id_: Row("task", (fields, prompt))
        for id_, fields, prompt in connection.execute(sealing.TASK_ROWS, {"ids": tasks}).all()
    }
    chains = _grouped(connection.execute(sealing.CHAIN_ROWS, {"ids": tasks}).all(), _chain)
    verdicts = _grouped(connection.execute(sealing.VERDICT_ROWS, {"ids": tasks}).all(), _verdict)
    return {
        subject.subject_id: [
            *filter(None, (asked.get(subject.about_id), decided.get(subject.subject_id))),
            *chains.get(subject.about_id, ()),
            *verdicts.get(subject.about_id, ()),
        ]
        for subject in subjects
    }


def _grouped(
    rows: Iterable[Any], read: Callable[[Sequence[Any]], tuple[Any, ResultT]]
) -> dict[UUID, list[ResultT]]:
    """Return what is read of the rows by their first column, in the order of the keys that are read with it."""
    found: dict[UUID, list[tuple[Any, ResultT]]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(read(row))
    return {id_: [one for _, one in sorted(of, key=itemgetter(0))] for id_, of in found.items()}


def _chain(row: Sequence[Any]) -> tuple[int, Row]:
    _, number, *texts = row
    return number, Row(f"chain {number}", tuple(texts))


def _verdict(row: Sequence[Any]) -> tuple[tuple[str, ...], Row]:
    _, verifier, version, candidate, *texts = row
    return (verifier, version, candidate), Row(f"verdict {verifier} {version} {candidate}", tuple(texts))


def _cluster(row: Sequence[Any]) -> tuple[int, tuple[str, str]]:
    _, number, fields, answer = row
    return number, (fields, answer)


def _decision(id_: UUID, fields: str, answer: str, document: str, clusters: Sequence[tuple[str, str]]) -> Row:
    """Return a decision's row; its lists are put together here as Postgres would print them."""
    numbers = ", ".join(of for of, _ in clusters)
    answers = ", ".join(of for _, of in clusters)
    texts = f'{{"answer": {answer}, "clusters": [{answers}], "document": {document}}}'
    return Row(f"decision {id_}", (fields, f"[{numbers}]", texts))
