"""The record as lines of JSON, read in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from db import transfer
from worker.store.transactions import transaction

PAGE_TASKS = 500
LOWEST = UUID(int=0)
HIGHEST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which finished tasks are exported."""

    tenant: str
    from_id: UUID = LOWEST
    until_id: UUID = HIGHEST
    batch: UUID | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of its queries."""
        return {
            "tenant": self.tenant,
            "from_id": self.from_id,
            "until_id": self.until_id,
            "batch": self.batch,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A reader of the record as it stood at one moment."""

    connection: Connection
    wanted: Wanted
    columns: Mapping[str, tuple[str, ...]]
    """By table."""

    revision: str
    """Of the schema."""

    first_id: UUID | None
    """Of the tasks that are wanted; None when there is none."""

    def calibrations(self) -> Iterator[str]:
        """Yield those that the decisions name."""
        ids = self.connection.execute(transfer.CALIBRATION_IDS, self.wanted.values).scalars().all()
        yield from self._rows(transfer.CALIBRATION, sorted(ids)).values()

    def batches(self) -> Iterator[str]:
        """Yield those that the tasks belong to."""
        ids = self.connection.execute(transfer.BATCH_IDS, self.wanted.values).scalars().all()
        for start in range(0, len(ids), PAGE_TASKS):
            page = sorted(ids)[start : start + PAGE_TASKS]
            yield from self._rows(transfer.BATCH, page).values()

    def tasks(self) -> Iterator[str]:
        """Yield each task with all that is its own, in the order of ids, as the members of a JSON object."""
        after = LOWEST
        while True:
            values = self.wanted.values | {"after": after, "n": PAGE_TASKS}
            ids = self.connection.execute(transfer.PAGE, values).scalars().all()
            if not ids:
                return
            yield from self._page(ids)
            after = ids[-1]

    def _page(self, ids: Sequence[UUID]) -> Iterator[str]:
        tasks = self._rows(transfer.TASK, ids)
        parts = {
            name: self._grouped(part, ids) for name, part in transfer.PARTS.items() if part.of == "task_id"
        }
        decisions = {row.id: row.task_id for row in self.connection.execute(DECISIONS_OF, {"ids": list(ids)})}
        clusters: dict[UUID, list[str]] = {}
        for decision, rows in self._grouped(transfer.PARTS["clusters"], list(decisions)).items():
            clusters.setdefault(decisions[decision], []).extend(rows)
        parts["clusters"] = clusters
        for task_id in ids:
            members = [f'"{name}": [{", ".join(parts[name].get(task_id, []))}]' for name in transfer.PARTS]
            yield f'"task": {tasks[task_id]}, {", ".join(members)}'

    def _rows(self, part: transfer.Part, ids: Sequence[UUID]) -> dict[UUID, str]:
        return {of: rows[0] for of, rows in self._grouped(part, ids).items()}

    def _grouped(self, part: transfer.Part, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        found: dict[UUID, list[str]] = {}
        statement = text(transfer.rows_as_json(part, self.columns[part.table]).replace("::", "\\:\\:"))
        for row in self.connection.execute(statement, {"ids": list(ids)}):
            found.setdefault(row.of, []).append(row.row)
        return found


DECISIONS_OF = text("SELECT id, task_id FROM decisions WHERE task_id = ANY(:ids) ORDER BY id")


@contextmanager
def snapshot(engine: Engine, wanted: Wanted) -> Iterator[Snapshot]:
    """Open a reader that sees nothing of what is written from here on."""
    with transaction(engine) as connection:
        connection.execute(transfer.SNAPSHOT)
        for statement in transfer.FORM:
            connection.execute(statement)
        yield Snapshot(
            connection=connection,
            wanted=wanted,
            columns=table_columns(connection),
            revision=connection.execute(transfer.REVISION).scalar_one(),
            first_id=connection.execute(transfer.FIRST_ID, wanted.values).scalar_one_or_none(),
        )


def table_columns(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of every table that a ledger file holds, in their order."""
    tables = [part.table for part in transfer.ALL]
    found: dict[str, tuple[str, ...]] = dict.fromkeys(tables, ())
    for table, column in connection.execute(transfer.COLUMNS, {"tables": tables}):
        found[table] = (*found[table], column)
    return found
