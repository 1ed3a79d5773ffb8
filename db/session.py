"""Connections to Postgres."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine

CONNECT_TIMEOUT_S = 10  # a database that does not answer in this time is reported, not waited for

# A network that swallows packets looks like a slow query for ever. So the kernel asks an idle connection for a sign
# of life, and gives up on what it sent after 20 s without an acknowledgement. Sockets of this machine ignore it.
SILENCE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}


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
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **SILENCE},
    )
