"""Real servers for the tests of this folder: one Postgres and one Valkey for all, a database for each test."""

from __future__ import annotations

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import create_engine, text

from db.migrate import migrate
from db.session import connect
from worker.embedded.services import Services
from worker.errors import ServiceError
from worker.keeper import LeaseKeeper
from worker.settings import Settings
from worker.stages.desk import Desk
from worker.stages.reconcile import reconcile
from worker.store.transactions import Store
from worker.submitting import Submission, submit

TEMPLATE = "migrated"
NUMBERS = count()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Embedded Postgres and Valkey; where they cannot start, a skip on a laptop and a failure in CI."""
    running = Services(tmp_path_factory.mktemp("state"))
    try:
        running.start()
    except ServiceError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"the embedded servers cannot start here: {error}")
    _administer(running, f"CREATE DATABASE {TEMPLATE}")
    migrate(_url(running, TEMPLATE))
    yield running
    running.stop()


@pytest.fixture
def settings(services: Services, tmp_path: Path) -> Settings:
    """Settings of a system of its own: a fresh database, an empty broker, quick leases."""
    name = f"test_{next(NUMBERS)}"
    _administer(services, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    redis.Redis.from_url(services.redis_url).flushall()
    return Settings(
        state_dir=tmp_path / "state",
        database_url=_url(services, name),
        broker_url=services.broker_url,
        lease_s=2.0,
        sweep_s=0.5,
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The test's own database."""
    assert settings.database_url is not None
    engine = connect(settings.database_url)
    yield engine
    engine.dispose()


class Rig:
    """Stages driven by hand: the test is the broker, and decides what arrives when."""

    def __init__(self, store: Store, settings: Settings, keeper: LeaseKeeper) -> None:
        self.store = store
        self.queues: dict[str, list[tuple[UUID, int]]] = defaultdict(list)
        self.runs = 1
        self.takes_all = True
        self.desk = Desk(store=store, publisher=self, keeper=keeper, settings=settings, holder="test")

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        self.queues[queue] += list(tasks)
        return self.takes_all

    def wake(self) -> None:
        """The reconciler is the test's to call."""

    def depth(self, queue: str) -> int:
        return len(self.queues.get(queue, []))

    def identity(self) -> str:
        return str(self.runs)

    def set(self, **changes: Any) -> None:
        self.desk = replace(self.desk, settings=replace(self.desk.settings, **changes))

    def sweep(self) -> int:
        return reconcile(self.desk, self)

    def take(self, queue: str) -> list[UUID]:
        return [task_id for task_id, _ in self.queues.pop(queue, [])]

    def submit(self, *lines: object, tenant: str = "default", **options: Any) -> Submission:
        content = "\n".join(json.dumps(line) for line in lines).encode()
        return submit(
            self.store,
            self,
            io.BytesIO(content),
            file="f.jsonl",
            error_file=Path("/nonexistent/errors.jsonl"),
            settings=replace(self.desk.settings, tenant=tenant),
            **options,
        )

    def query(self, statement: str, **values: object) -> list[Any]:
        with self.store.begin() as connection:
            found = connection.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []

    def age(self, table: str = "tasks", column: str = "published_at", *, hours: float = 2) -> None:
        """Move a time of every row into the past, as if the test had waited."""
        self.query(f"UPDATE {table} SET {column} = {column} - make_interval(secs => {hours * 3600})")

    def states(self) -> dict[str, int]:
        return dict(self.query("SELECT state, count(*) FROM tasks GROUP BY state"))


@pytest.fixture
def rig(store: Store, settings: Settings) -> Iterator[Rig]:
    """Stages driven by hand, on a database of the test's own."""
    keeper = LeaseKeeper(store, lease_s=settings.lease_s)
    keeper.start()
    yield Rig(store, settings, keeper)
    keeper.stop()


def _url(services: Services, name: str) -> str:
    base, _, query = services.database_url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}?{query}"


def _administer(services: Services, statement: str) -> None:
    engine = create_engine(services.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
