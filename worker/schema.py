"""The schema brought up to date, with the months that are needed soon."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from db.migrate import migrate
from db.session import connect, driver_url
from worker.errors import StoreBusyError
from worker.store.partitions import make_partitions


def bring_up_to_date(database_url: str, *, progress: Callable[[str], None] = lambda _: None) -> None:
    """Migrate, then make the months; a month that can't be made now is left to the clock's job.

    Raises:
        StoreUnavailableError: The database is away.
    """
    migrate(driver_url(database_url))
    store = connect(database_url, pool_size=2)
    try:
        make_partitions(store, now=datetime.now(UTC))
    except StoreBusyError as error:
        progress(f"months are made later: {error}")
    finally:
        store.dispose()
