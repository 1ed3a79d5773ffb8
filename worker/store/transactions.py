"""Transactions whose failures bear our names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.session import READ_ONLY
from worker.errors import StoreBusyError, StoreUnavailableError

HELD_BY_OTHERS = {"55P03", "40P01"}  # SQLSTATE: a lock that was not to be had in time, a deadlock
LOCK_TIMEOUT = "2s"  # what changes a table must not queue behind a long reader, and the workers behind it

Store = Engine
"""The database as stages and commands hold it; they open transactions only through this room."""


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that commits at the end of the block.

    Raises:
        StoreUnavailableError: No connection, a lost one, a server that takes no writes, or a deadlock that Postgres
            resolved against us.
    """
    with _translated(), engine.begin() as connection:
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads, and whose statements all see one state of the database.

    Raises:
        StoreUnavailableError: As for ``transaction``.
    """
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with _translated(), engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def statements(engine: Engine) -> Iterator[Connection]:
    """Open a connection on which each statement is a transaction of its own, sparing BEGIN and COMMIT.

    For reads, and for writes of one statement, which are atomic by themselves.

    Raises:
        StoreUnavailableError: As for ``transaction``.
    """
    with _translated(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def address(engine: Engine) -> str:
    """Return the URL for another process that is to open the same database; it may hold a password."""
    return engine.url.render_as_string(hide_password=False)


@contextmanager
def brief_locks(engine: Engine, *, timeout: str = LOCK_TIMEOUT) -> Iterator[Connection]:
    """Open a transaction that changes tables, and gives up rather than let others wait behind it for a lock.

    Raises:
        StoreBusyError: Somebody held a table for longer than ``timeout``; nothing was done.
        StoreUnavailableError: As for ``transaction``.
    """
    try:
        with transaction(engine) as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{timeout}'"))
            yield connection
    except StoreUnavailableError as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in HELD_BY_OTHERS:
            raise StoreBusyError("a table is in use by something long; try again later") from error
        raise


def is_alive(engine: Engine) -> bool:
    """Return true once the database has answered and takes writes.

    Raises:
        StoreUnavailableError: It does not.
    """
    with statements(engine) as connection:
        read_only = connection.execute(text("SELECT current_setting('transaction_read_only')")).scalar_one()
        if read_only == "on":
            connection.invalidate()  # the same address may lead to another server by now
            raise StoreUnavailableError("it takes no writes")
        return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise StoreUnavailableError(_first_line(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailableError(_first_line(error)) from error
        raise
    except psycopg.Error as error:  # of a COPY, which speaks to the driver itself
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        if lost or error.sqlstate == READ_ONLY:
            raise StoreUnavailableError(_first_line(error)) from error
        raise


def _first_line(error: Exception) -> str:
    original = getattr(error, "orig", None) or error
    return (str(original).splitlines() or [type(original).__name__])[0]
