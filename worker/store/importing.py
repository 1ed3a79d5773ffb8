"""Lines of a ledger file become rows, all of them or none.

The lines are staged in a temporary table and written by statements over pages of them, so memory does not grow with
the file. What is on record already must be the same; a row that differs ends the import and names its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import DataError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from uuid_utils.compat import uuid7

from db import transfer
from db.batches import copy_rows
from db.transfer import Part
from worker.errors import LedgerFileError
from worker.ledger_file import END, Line
from worker.store.exporting import table_columns
from worker.store.keeping import as_keeper
from worker.store.transactions import transaction

PAGE_LINES = 200
WHERE = re.compile(r"COPY staged, line (\d+)")

WHOLE = "(SELECT s.doc -> :kind)"
PART = "jsonb_array_elements(s.doc -> :part)"


@dataclass(slots=True, kw_only=True)
class Imported:
    """What an import wrote."""

    n_tasks: int = 0
    """In the file."""

    file_sha256: str = ""
    """Of its lines, as its end says."""

    import_id: UUID | None = None
    """Under which it is on record; None when it brought nothing new."""

    rows: dict[str, int] = field(default_factory=dict)
    """Rows that were new here, by table."""


def import_lines(
    engine: Engine, lines: Iterable[Line], *, tenant: str, who: str, columns: Mapping[str, tuple[str, ...]]
) -> Imported:
    """Write the lines after a header, in one transaction, without the search entries of what came.

    Entries share profiles with those that are being decided meanwhile, and who adds a profile holds up all others that
    would add it, until its end; ``reindex`` writes them a page at a time.

    Args:
        engine: The database.
        lines: Checked for form, as they come; whatever they raise leaves nothing behind.
        tenant: Whose record they become.
        who: Imports them.
        columns: What the header says of each table.

    Raises:
        LedgerFileError: A row cannot be, or is on record with another content.
        KeeperRefusedError: This login may not say what came.
        StoreUnavailableError: The database is away.
    """
    made = Imported()
    with transaction(engine) as connection:
        for statement in transfer.FORM:
            connection.execute(statement)
        known = _known(columns, table_columns(connection))
        n_lines = _stage(connection, lines, made)
        connection.execute(transfer.NOTE_NEWS)
        for kind, part in (("batch", transfer.BATCH), ("calibration", transfer.CALIBRATION)):
            _write(connection, part, kind=kind, n_lines=n_lines, columns=known, tenant=tenant, made=made)
        _write(
            connection, transfer.TASK, kind="task", n_lines=n_lines, columns=known, tenant=tenant, made=made
        )
        for name, part in transfer.PARTS.items():
            _write(
                connection,
                part,
                kind="task",
                name=name,
                n_lines=n_lines,
                columns=known,
                tenant=tenant,
                made=made,
            )
        highest = connection.execute(HIGHEST_EVENT).scalar_one()
        if highest is not None:
            connection.execute(transfer.BUMP_EVENTS, {"highest": highest})
        _record(connection, made, tenant=tenant, who=who)
    return made


def _record(connection: Connection, made: Imported, *, tenant: str, who: str) -> None:
    """Tell what came, so that the audit does not take it for slipped in."""
    connection.execute(transfer.SHARE_NEWS)
    id_ = uuid7()
    values = {"id": id_, "tenant": tenant, "who": who, "file_sha256": made.file_sha256}
    with as_keeper(connection):
        if connection.execute(transfer.RECORD_IMPORT, values).rowcount:
            connection.execute(transfer.RECORD_SUBJECTS, {"id": id_})
            made.import_id = id_


HIGHEST_EVENT = text("""
SELECT max((e ->> 'id')::bigint) FROM staged s, jsonb_array_elements(s.doc -> 'events') e WHERE s.kind = 'task'
""")


def _known(
    theirs: Mapping[str, tuple[str, ...]], mine: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    known = {}
    for part in transfer.ALL:
        columns = theirs.get(part.table, ())
        unknown = sorted(set(columns) - set(mine[part.table]))
        if unknown:
            raise LedgerFileError(
                f"line 1: {part.table} has a column {unknown[0]!r} there; the file is of a newer version"
            )
        if not set(part.key) <= set(columns):
            raise LedgerFileError(f"line 1: the columns of {part.table} are missing")
        known[part.table] = columns
    return known


def _stage(connection: Connection, lines: Iterable[Line], made: Imported) -> int:
    connection.execute(text(transfer.STAGE))
    last = 1

    def rows() -> Iterator[tuple[int, str, str]]:
        nonlocal last
        for line in lines:
            if line.kind == END:
                made.file_sha256 = line.value[END]["sha256"]
                return
            made.n_tasks += line.kind == "task"
            last = line.number
            yield line.number, line.kind, line.text

    try:
        copy_rows(connection, "staged", transfer.STAGE_COLUMNS, rows())
    except DataError as error:  # JSON that Postgres does not take, such as \\u0000
        found = WHERE.search(str(error))
        number = int(found[1]) + 1 if found else 1  # the header is line 1 of the file and is not staged
        raise LedgerFileError(f"line {number}: {str(error).splitlines()[0]}") from error
    connection.execute(text(transfer.ANALYZE_STAGE))
    return last


def _write(
    connection: Connection,
    part: Part,
    *,
    kind: str,
    n_lines: int,
    columns: Mapping[str, tuple[str, ...]],
    tenant: str,
    made: Imported,
    name: str | None = None,
) -> None:
    """Write one part of all lines, a page of lines at a time."""
    source = WHOLE if name is None else PART
    names = columns[part.table]
    insert = _statement(transfer.insert_staged(part, source, names))
    differing = _statement(transfer.differing(part, source, names))
    for first in range(1, n_lines + 1, PAGE_LINES):
        values = {
            "kind": kind,
            "part": name,
            "first": first,
            "last": first + PAGE_LINES,
            "tenant": tenant,
        }
        n = _inserted(connection, insert, values, part=part)
        made.rows[part.table] = made.rows.get(part.table, 0) + n
        if not part.is_compared:
            continue
        other = connection.execute(differing, _used(differing, values)).one_or_none()
        if other is not None:
            raise LedgerFileError(_told(part, other.line, other.mine, other.theirs))


def _inserted(connection: Connection, insert: Any, values: dict[str, Any], *, part: Part) -> int:  # noqa: ANN401
    """Insert a page; when a row of it cannot be, insert line by line to find which."""
    try:
        with connection.begin_nested():
            return connection.execute(insert, _used(insert, values)).rowcount
    except OperationalError:
        raise
    except DBAPIError:
        for line in range(values["first"], values["last"]):
            one = values | {"first": line, "last": line + 1}
            try:
                with connection.begin_nested():
                    connection.execute(insert, _used(insert, one))
            except OperationalError:
                raise
            except DBAPIError as error:
                reason = str(error.orig).splitlines()[0]
                raise LedgerFileError(f"line {line}: a row of {part.table} cannot be: {reason}") from error
        raise


def _told(part: Part, line: int, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    key = ", ".join(str(theirs[column]) for column in part.key)
    different = [column for column in theirs if mine.get(column) != theirs[column]]
    return (
        f"line {line}: {part.table} {key} is on record here with another {', '.join(different)}: "
        f"{json.dumps({column: mine.get(column) for column in different}, ensure_ascii=False)[:300]}"
    )


def _statement(sql: str) -> Any:  # noqa: ANN401 (SQLAlchemy's)
    return text(sql.replace("::", "\\:\\:"))


def _used(statement: Any, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Return those values that a statement names."""
    return {name: value for name, value in values.items() if name in statement._bindparams}  # noqa: SLF001
