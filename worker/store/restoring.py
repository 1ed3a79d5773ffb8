"""A database before and after a restore."""

from __future__ import annotations

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from db import backup
from db.seals import KEEPER_ROLE, WORKER_ROLE
from worker.errors import StoreRightsError
from worker.store.transactions import statements, transaction


def is_empty(engine: Engine) -> bool:
    """Return whether the database holds no table yet."""
    with statements(engine) as connection:
        return connection.execute(backup.IS_EMPTY).scalar_one() is True


def make_roles(engine: Engine) -> None:
    """Make the roles that a backup grants rights to, where the cluster does not know them.

    Raises:
        StoreRightsError: One is missing and this login may not make it.
    """
    with statements(engine) as connection:
        roles = [WORKER_ROLE, KEEPER_ROLE]
        for role in connection.execute(backup.MISSING_ROLES, {"roles": roles}).scalars().all():
            try:
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
            except ProgrammingError as error:
                raise StoreRightsError(
                    f"this login may not make the missing role {role}; have it made (CREATE ROLE {role} NOLOGIN)"
                ) from error


def settle(engine: Engine) -> None:
    """Make a restored database ready for work: rights of tables to come, statistics, and a broker that is news."""
    with transaction(engine) as connection:
        for statement in backup.DEFAULT_PRIVILEGES:
            connection.execute(text(statement))
        connection.execute(backup.FORGET_BROKER)
    with statements(engine) as connection:
        connection.execute(backup.ANALYZE)
