"""Connections to Postgres."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine

CONNECT_TIMEOUT_S = 10  # a database that does not answer in this time is reported, not waited for


def driver_url(database_url: str) -> str:
    """Return the URL with our driver named; ``postgresql://`` and ``postgres://`` are understood as that."""
    for prefix in ("postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql+psycopg://" + database_url.removeprefix(prefix)
    return database_url


def connect(database_url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine that has opened no connection yet.

    Args:
        database_url: Of a Postgres; see ``driver_url``.
        pool_size: Connections kept open; as many again may be opened for a burst.
    """
    return create_engine(
        driver_url(database_url),
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
