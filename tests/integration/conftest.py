"""Real servers for the tests of this folder: one Postgres and one Valkey for all, a database for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, text

from db.migrate import migrate
from db.session import connect
from tests.integration.bench import Outbox, Rig
from verifiers.math.verifier import MathVerifier
from worker.embedded.services import Services
from worker.errors import ServiceError
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.keeper import LeaseKeeper
from worker.settings import Settings
from worker.stages.desk import Desk
from worker.store.transactions import Store

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


@pytest.fixture(scope="session")
def new_database(services: Services) -> Callable[[], str]:
    """Make a migrated database and return its address."""

    def make() -> str:
        name = f"test_{next(NUMBERS)}"
        _administer(services, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return _url(services, name)

    return make


@pytest.fixture(autouse=True)
def seals_reach_the_present(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test has just decided can be sealed at once."""
    monkeypatch.setattr("worker.store.seals.SETTLE_S", 0.0)


@pytest.fixture
def settings(services: Services, new_database: Callable[[], str], tmp_path: Path) -> Settings:
    """Settings of a system of its own: a fresh database, an empty broker, quick leases."""
    redis.Redis.from_url(services.redis_url).flushall()
    return Settings(
        state_dir=tmp_path / "state",
        database_url=new_database(),
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


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def desk(store: Store, settings: Settings, outbox: Outbox) -> Iterator[Desk]:
    keeper = LeaseKeeper(store, lease_s=settings.lease_s)
    keeper.start()
    yield Desk(store=store, publisher=outbox, keeper=keeper, settings=settings, holder="test")
    keeper.stop()


@pytest.fixture
def judges(desk: Desk) -> Iterator[Judges]:
    """Those who compare answers with labels."""
    with Judges(Surroundings(settings=desk.settings, store=desk.store)) as opened:
        yield opened


@pytest.fixture
def rig(store: Store, settings: Settings) -> Iterator[Rig]:
    """Stages driven by hand, on a database of the test's own."""
    keeper = LeaseKeeper(store, lease_s=settings.lease_s)
    keeper.start()
    yield Rig(store, settings, keeper)
    keeper.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that chains are sampled in."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture(scope="module")
def math() -> Iterator[MathVerifier]:
    """The math verifier, its children started once."""
    verifier = MathVerifier()
    yield verifier
    verifier.close()


def _url(services: Services, name: str) -> str:
    base, _, query = services.database_url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}?{query}"


def _administer(services: Services, statement: str) -> None:
    engine = create_engine(services.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
