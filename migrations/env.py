"""Alembic environment: one migrator at a time, and none that waits for ever."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from db.session import driver_url
from db.tables import METADATA

PARTITION = re.compile(r"(chains|verdicts|task_events)_(default|\d{4}_\d{2}(_p\d+)?)")
LOCK_TIMEOUT = "4s"  # a migration must not queue behind users, and users behind it


def is_described_by_a_model(name: str | None, kind: str, _parents: MutableMapping[Any, Any]) -> bool:
    """Return whether autogenerate should compare the object; partitions are their parent's storage."""
    return not (kind == "table" and name is not None and PARTITION.fullmatch(name))


def run() -> None:
    """Run migrations against ``DATABASE_URL`` (or the URL the caller put into the configuration)."""
    url = context.config.attributes.get("database_url") or driver_url(os.environ["DATABASE_URL"])
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        # Session-level, so it outlives each migration's own transaction; the server drops it with the
        # connection if we crash.
        connection.execute(text("SELECT pg_advisory_lock(hashtext('merge-reasoner alembic'))"))
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=METADATA,
            compare_server_default=True,
            transaction_per_migration=True,
            include_name=is_described_by_a_model,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
