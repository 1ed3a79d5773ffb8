"""Connections to Postgres."""

from __future__ import annotations

from sqlalchemy import Engine, ExceptionContext, create_engine, event, make_url

CONNECT_TIMEOUT_S = 10  # a database that does not answer in this time is reported, not waited for

READ_ONLY = "25006"
"""SQLSTATE of a write that was refused since the server takes none: it stands by, or is made ready for a failover."""

# A network that swallows packets looks like a slow query for ever. So the kernel asks an idle connection for a sign
# of life, and gives up on what it sent after 20 s without an acknowledgement. Sockets of this machine ignore it.
SILENCE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

CLIENT_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
}
"""Where libpq reads what a URL may say."""


def driver_url(database_url: str) -> str:
    """Return the URL with our driver named; ``postgresql://`` and ``postgres://`` are understood as that."""
    for prefix in ("postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql+psycopg://" + database_url.removeprefix(prefix)
    return database_url


def client_environment(database_url: str) -> dict[str, str]:
    """Return what tells Postgres's own programs the way to a database: by environment, since others see arguments.

    Raises:
        ValueError: The URL names something that these programs have no variable for.
    """
    url = make_url(driver_url(database_url))
    words = dict(url.translate_connect_args(username="user", database="dbname")) | dict(url.query)
    unknown = sorted(set(words) - set(CLIENT_VARIABLES))
    if unknown:
        raise ValueError(f"{unknown[0]} in the database's URL is not understood here")
    return {CLIENT_VARIABLES[name]: str(value) for name, value in words.items()}


def connect(database_url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine that has opened no connection yet.

    Args:
        database_url: Of a Postgres; see ``driver_url``.
        pool_size: Connections kept open; as many again may be opened for a burst.
    """
    engine = create_engine(
        driver_url(database_url),
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **SILENCE},
    )
    event.listen(engine, "handle_error", _leave_what_takes_no_writes)
    return engine


def _leave_what_takes_no_writes(context: ExceptionContext) -> None:
    """Count a server that takes no writes as away: after a failover the same address leads to one that does."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
