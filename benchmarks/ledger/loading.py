"""Filling a database quickly: indexes and checks afterwards, rows by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, text

from benchmarks.ledger.rows import COLUMNS
from worker.store.transactions import Store, statements, transaction

BLOCK_CHARS = 1 << 20

# Keys of constraints stay: ids come in the order of time, so they are cheap to keep, and other tables lean on them.
INDEXES = text("""
SELECT c.oid::regclass::text AS name, pg_get_indexdef(c.oid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY(CAST(:tables AS regclass[])) AND NOT i.indisprimary
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid) AND NOT c.relispartition
ORDER BY 1
""")

# Only our own server, whose settings are nobody else's; the end takes them back.
SERVER = {"max_wal_size": "3GB", "checkpoint_timeout": "30min", "autovacuum": "off"}


def is_empty(store: Store) -> bool:
    """Return whether there are no tasks."""
    with statements(store) as connection:
        return connection.execute(text("SELECT NOT EXISTS (SELECT FROM tasks)")).scalar_one() is True


def prepare(store: Store) -> list[str]:
    """Drop the indexes that are cheaper to build at the end; return their definitions."""
    with statements(store) as connection:
        for name, value in SERVER.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        found = connection.execute(INDEXES, {"tables": [*COLUMNS, "search_entries"]}).all()
        for row in found:
            connection.execute(text(f"DROP INDEX {row.name}"))
    return [row.definition for row in found]


def copy_text(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[str]) -> None:
    """Send rows of COPY's text format; keys to other tables are not checked, where we may say so."""
    names = ", ".join(name if name.startswith('"') else f'"{name}"' for name in columns)
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    cursor = connection.connection.cursor()
    try:
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for block in _blocks(rows):
                copy.write(block)
    finally:
        cursor.close()


def _blocks(rows: Iterable[str]) -> Iterator[str]:
    block, n_chars = [], 0
    for row in rows:
        block.append(row)
        n_chars += len(row)
        if n_chars > BLOCK_CHARS:
            yield "".join(block)
            block, n_chars = [], 0
    if block:
        yield "".join(block)


def finish(store: Store, indexes: Sequence[str]) -> None:
    """Build the indexes and what queries and plans need beside the rows."""
    for definition in indexes:
        with transaction(store) as connection:
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
            connection.exec_driver_sql(definition)
    with statements(store) as connection:
        connection.execute(text("VACUUM ANALYZE"))
        for name in SERVER:
            connection.execute(text(f"ALTER SYSTEM RESET {name}"))
        connection.execute(text("SELECT pg_reload_conf()"))
