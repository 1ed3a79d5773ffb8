"""Connections to Postgres."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine

CONNECT_TIMEOUT_S = 10  # a database that does not answer in this time is reported, not waited for


def connect(database_url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine that has opened no connection yet.

    Args:
        database_url: ``postgresql+psycopg://...``; plain ``postgresql://`` is understood as that.
        pool_size: Connections kept open; as many again may be opened for a burst.
    """
    url = database_url
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,  # a restarted Postgres must not surface as an error in the next stage
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
