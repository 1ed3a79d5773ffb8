"""The migrations and the models describe one schema, and the way up is also a way down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from db.migrate import check, downgrade, migrate
from worker.embedded.services import Services
from worker.errors import ServiceError

pytestmark = pytest.mark.services

# What autogenerate does not compare (FACTS.md, section 3) is compared as Postgres itself writes it down.
SCHEMA = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT table_name, column_name, coalesce(column_default, '') || data_type || is_nullable
FROM information_schema.columns WHERE table_schema = 'public'
ORDER BY 1, 2, 3
"""


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    services = Services(tmp_path_factory.mktemp("state"), broker_url="redis://none")
    try:
        services.start()
    except ServiceError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"the embedded Postgres cannot start here: {error}")
    yield services.database_url
    services.stop()


def schema(url: str) -> list[tuple[str, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(SCHEMA)) if row[0] != "alembic_version"]
    engine.dispose()
    return found


def test_up_check_down_up_leaves_what_the_models_say(database_url: str) -> None:
    migrate(database_url)
    check(database_url)
    first = schema(database_url)
    downgrade(database_url)
    assert schema(database_url) == []
    migrate(database_url)
    check(database_url)
    assert schema(database_url) == first


def test_two_migrators_at_once_both_succeed(database_url: str) -> None:
    downgrade(database_url)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: migrate_in_a_process(database_url), range(2)))
    check(database_url)


def migrate_in_a_process(url: str) -> None:

    command = "import sys; from db.migrate import migrate; migrate(sys.argv[1])"
    subprocess.run([sys.executable, "-c", command, url], check=True, cwd=Path(__file__).parents[2])


def test_rows_of_impossible_times_stop_no_migration_and_no_more_of_them_come(database_url: str) -> None:
    migrate(database_url)
    downgrade(database_url, revision="0015_limits")
    engine = create_engine(database_url)
    forged = (
        "INSERT INTO calibrations SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), "
        "'status', 'candidate', 'created_at', '-infinity'))).* FROM calibrations c LIMIT 1"
    )
    with engine.begin() as connection:
        connection.execute(text(forged))
    migrate(database_url)
    with engine.connect() as connection:
        with pytest.raises(IntegrityError, match="times_within_reach"):
            connection.execute(text(forged))
        connection.rollback()
        connection.execute(text("DELETE FROM calibrations WHERE created_at = '-infinity'"))
        connection.execute(
            text("ALTER TABLE calibrations VALIDATE CONSTRAINT ck_calibrations_times_within_reach")
        )
        connection.commit()
    engine.dispose()


def test_the_first_calibration_is_seeded_with_the_papers_lambda(database_url: str) -> None:
    migrate(database_url)
    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT \"lambda\" FROM calibrations WHERE status = 'active'")).all()
    engine.dispose()
    assert [row[0] for row in rows] == [0.3]
