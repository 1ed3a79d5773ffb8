"""Search entries made from the record: after an import, a redaction, or whenever they are doubted."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import entries
from worker.store.transactions import transaction

PAGE = 2000
NOBODY = UUID(int=0)


def write_entries(connection: Connection, decisions: Sequence[UUID]) -> None:
    """Write the entries of these decisions, those that are current, in the place of what their tasks had."""
    if decisions:
        connection.execute(entries.WRITE, {"ids": list(decisions)})


def reindex(engine: Engine, *, tenant: str, all_of_them: bool = False) -> int:
    """Write the entries of a tenant that are missing or of another decision, or all; return how many.

    Pages are transactions of their own: what was written stays when it is stopped.
    """
    n, after = 0, NOBODY
    while True:
        values = {"tenant": tenant, "after": after, "everything": all_of_them, "n": PAGE}
        with transaction(engine) as connection:
            due = list(connection.execute(entries.DUE, values).scalars())
            write_entries(connection, due)
        if not due:
            return n
        n, after = n + len(due), due[-1]
