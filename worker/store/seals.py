"""Seals in the database: what is due, what is kept, and each row of the record as it is hashed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import batches, labels, sealing
from db.models import FINAL_STATES
from worker.errors import SealBusyError
from worker.hashes.leaves import NO_SALTS, Hashed, Redacted, Row, Salts
from worker.store.transactions import statements, transaction

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
        found: datetime = connection.execute(sealing.HORIZON).scalar_one()
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
    with statements(engine) as connection:
        rows = connection.execute(sealing.DUE, {"since": since, "until": until, "n": n}).mappings()
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
    who: str,
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
        "who": who,
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


def pruned(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, dict[str, UUID]]:
    """Return, of those tasks that a pruning touched, what went (``evidence``, ``task``) and under which pruning."""
    found: dict[UUID, dict[str, UUID]] = defaultdict(dict)
    with statements(engine) as connection:
        for row in connection.execute(sealing.PRUNED, {"ids": list(ids)}):
            found[row.task_id][row.what] = row.pruning_id
    return found


def imported(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return, of those tasks and calibrations that an import brought, the last import that did."""
    with statements(engine) as connection:
        found = connection.execute(sealing.IMPORTED, {"ids": list(ids)})
        return {row.about_id: row.import_id for row in found}


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
    decided = {
        row.id: Row(f"decision {row.id}", (row.fields, row.clusters, row.answers))
        for row in connection.execute(sealing.DECISION_ROWS, {"ids": [one.subject_id for one in subjects]})
    }
    asked = {
        row.id: Row("task", (row.fields, row.prompt))
        for row in connection.execute(sealing.TASK_ROWS, {"ids": tasks})
    }
    chains = _by_task(connection.execute(sealing.CHAIN_ROWS, {"ids": tasks}).all(), _chain)
    verdicts = _by_task(connection.execute(sealing.VERDICT_ROWS, {"ids": tasks}).all(), _verdict)
    return {
        subject.subject_id: [
            *filter(None, (asked.get(subject.about_id), decided.get(subject.subject_id))),
            *chains.get(subject.about_id, ()),
            *verdicts.get(subject.about_id, ()),
        ]
        for subject in subjects
    }


def _by_task(rows: Iterable[Any], read: Any) -> dict[UUID, list[Row]]:  # noqa: ANN401 (a row's reader)
    found: dict[UUID, list[tuple[Any, Row]]] = defaultdict(list)
    for row in rows:
        found[row.task_id].append(read(row))
    return {task: [row for _, row in sorted(of, key=_first)] for task, of in found.items()}


def _first(pair: tuple[Any, Row]) -> Any:  # noqa: ANN401 (whatever sorts)
    return pair[0]


def _chain(row: Any) -> tuple[Any, Row]:  # noqa: ANN401 (SQLAlchemy's row)
    return row.number, Row(f"chain {row.number}", (row.fields, row.text, row.answer))


def _verdict(row: Any) -> tuple[Any, Row]:  # noqa: ANN401
    key = (row.verifier, row.version, row.candidate)
    return key, Row("verdict " + " ".join(key), (row.fields, row.evidence))
