"""Finding the database and the broker that a command is to talk to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from db.session import connect
from worker.app import make_app
from worker.embedded.directory import StateDirectory
from worker.embedded.errors import StateDirectoryBusyError
from worker.embedded.services import Services, find_running
from worker.errors import ConfigurationError
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.transactions import Store

TURN_PATIENCE_S = 60.0
"""Some commands before this one, each with a start and a stop of Postgres, on a slow machine."""

NO_BROKER = "redis://none"
"""Given to the embedded services so that they start no broker for a command that only reads."""


def current_settings() -> Settings:
    """Return the settings of this process, with the URLs of the running embedded services where none are given.

    Raises:
        ConfigurationError: A variable is wrong.
    """
    settings = Settings.from_env(os.environ)
    running = find_running(settings.state_dir)
    if running is None:
        return settings
    return replace(
        settings,
        database_url=settings.database_url or running.database_url,
        broker_url=settings.broker_url or running.broker_url,
    )


def open_store(settings: Settings) -> Store:
    """Return the database.

    Raises:
        ConfigurationError: None is running and none is named.
    """
    if settings.database_url is None:
        raise ConfigurationError(
            "nothing is running here; start it with `merge-reasoner up`, or set DATABASE_URL and BROKER_URL"
        )
    return connect(settings.database_url)


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """Open the database for the length of the block.

    Raises:
        ConfigurationError: None is running and none is named.
    """
    store = open_store(settings)
    try:
        yield store
    finally:
        store.dispose()


@contextmanager
def reading(settings: Settings) -> Iterator[Store]:
    """Open the database for a question about what is on record, starting the embedded one for as long as it takes.

    So that the audit works after a demo or a `down`, when nothing runs.

    Raises:
        ConfigurationError: No database is running or named, and this machine has none on disk.
    """
    has_data = (StateDirectory(settings.state_dir).postgres / "data" / "PG_VERSION").exists()
    if settings.database_url is not None or not has_data:
        with opened_store(settings) as store:
            yield store
        return
    with (
        _waiting_for_turn(settings) as services,
        opened_store(replace(settings, database_url=services.database_url)) as store,
    ):
        yield store


@contextmanager
def _waiting_for_turn(settings: Settings) -> Iterator[Services]:
    """Run the embedded Postgres for this command alone; several that only read take turns."""
    services = Services(settings.state_dir, broker_url=NO_BROKER)
    deadline = time.monotonic() + TURN_PATIENCE_S
    while True:
        try:
            services.start()
            break
        except StateDirectoryBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    try:
        services.state.record.unlink(missing_ok=True)  # nobody else is to rely on a server that ends with us
        yield services
    finally:
        services.stop()


def open_publisher(settings: Settings) -> CeleryPublisher:
    """Return the way into the queue.

    Raises:
        ConfigurationError: No broker is running and none is named.
    """
    if settings.broker_url is None:
        raise ConfigurationError(
            "no broker is running here; start it with `merge-reasoner up`, or set BROKER_URL"
        )
    app = make_app(settings.broker_url, sweep_s=settings.sweep_s)
    return CeleryPublisher(app, message_tasks=settings.message_tasks)
