"""Many rows in one statement: each column travels as an array.

A driver's ``executemany`` sends a statement for every row, eight for the chains of one task; Postgres spends more on
those than on the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Double, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert ``rows``, which all name the same columns; for columns of plain values and JSON, not for arrays.

    A JSON column's ``None`` becomes SQL's null.
    """
    if not rows:
        return
    columns = [table.c[name] for name in rows[0]]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    names = ", ".join(f'"{column.name}"' for column in columns)
    arrays = ", ".join(
        f"CAST({_sent(column)} AS {column.type.compile(dialect=dialect)}[])" for column in columns
    )
    values: dict[str, list[Any]] = {column.name: [row[column.name] for row in rows] for column in columns}
    for column in columns:
        if isinstance(column.type, Double):  # an array of whole and other numbers has no type
            values[column.name] = [None if v is None else float(v) for v in values[column.name]]
        if isinstance(column.type, JSONB):
            values[column.name] = [None if v is None else json.dumps(v) for v in values[column.name]]
    statement = text(f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})")  # noqa: S608 (our schema's names)
    connection.execute(statement, values)


def _sent(column: Column[Any]) -> str:
    """Return the parameter of a column; JSON travels as text."""
    return f"CAST(:{column.name} AS text[])" if isinstance(column.type, JSONB) else f":{column.name}"
