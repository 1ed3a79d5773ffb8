"""Backup while the queue works, everything destroyed, restore, and on it goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from cli.main import app
from db.session import client_environment
from tests.integration.bench import Rig
from worker.backup import back_up, restore
from worker.errors import BackupError
from worker.keeper import LeaseKeeper
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.stages.decide import decide
from worker.stages.generate import generate_given
from worker.store.partitions import list_partitions

pytestmark = pytest.mark.services

N_TASKS = 60
CHAINS = [{"text": rf"\boxed{{{answer}}}", "logprob": -1.0, "n_tokens": 3} for answer in (2, 2, 3)]


def lines(n: int) -> list[dict[str, Any]]:
    return [
        {"custom_id": f"t{i}", "kind": "text", "prompt": "What is 1 + 1?", "chains": CHAINS} for i in range(n)
    ]


def step(rig: Rig, n: int) -> None:
    """Take the next ``n`` messages of each queue."""
    for queue, stage in ((GENERATE_GIVEN, generate_given), (DECIDE, decide)):
        mine, rig.queues[queue] = rig.queues[queue][:n], rig.queues[queue][n:]
        stage(rig.desk, [task_id for task_id, _ in mine])


def finish(rig: Rig) -> None:
    """Work until nothing waits."""
    for _ in range(50):
        rig.sweep()
        step(rig, N_TASKS)
        if set(rig.states()) <= {"answered", "abstained"}:
            return
        rig.age("tasks", "lease_until", hours=1)
        rig.age("tasks", "published_at", hours=1)  # what the lost broker held is not waited for
    raise AssertionError(rig.states())


@pytest.fixture
def place(rig: Any) -> Iterator[str]:
    """An empty database on the same server."""
    name = f"place_{rig.store.url.database}"
    with administering(rig.store) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url(rig.store, name)
    with administering(rig.store) as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def url(store: Engine, name: str) -> str:
    return store.url.set(database=name).render_as_string(hide_password=False)


def administering(store: Engine) -> Any:
    engine = create_engine(
        store.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    return engine.connect()


def mine(rig: Any) -> str:
    return url(rig.store, rig.store.url.database)


def test_every_task_ends_with_one_decision_after_a_restore_in_the_middle_of_the_work(
    rig: Any, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig.submit(*lines(N_TASKS))
    rig.sweep()
    step(rig, 20)

    def work() -> None:
        for _ in range(15):
            step(rig, 2)

    working = threading.Thread(target=work)
    working.start()
    file = tmp_path / "backup.dump"
    made = back_up(mine(rig), file)
    working.join()
    assert (made.size_bytes, file.stat().st_mode & 0o777) == (file.stat().st_size, 0o600)
    before = dict(rig.query("SELECT id, document FROM decisions"))
    rig.store.dispose()
    with administering(rig.store) as connection:
        connection.execute(text(f"DROP DATABASE {rig.store.url.database} WITH (FORCE)"))

    restore(place, file)
    engine = create_engine(place)
    request.addfinalizer(engine.dispose)
    keeper = LeaseKeeper(engine, lease_s=2.0)
    after = Rig(engine, replace(rig.desk.settings, database_url=place), keeper)
    after.runs = (
        rig.runs
    )  # the broker outlived the database, and holds nothing of what the backup says it does
    assert after.sweep() > 0
    finish(after)
    assert after.query("SELECT count(*), count(DISTINCT task_id), bool_and(is_current) FROM decisions") == [
        (N_TASKS, N_TASKS, True)
    ]
    assert after.query("SELECT task_id FROM chains GROUP BY task_id HAVING count(*) <> 3") == []
    assert before  # some were decided by then, and are decided the same
    documents = after.query("SELECT id, document FROM decisions")
    assert all(before[id_] == document for id_, document in documents if id_ in before)
    assert {one.month for one in list_partitions(engine)} - {None}
    with engine.connect() as connection:
        connection.execute(text("SET ROLE mergereasoner_worker"))
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text("DELETE FROM chains"))


def test_a_damaged_or_foreign_file_leaves_the_database_empty(rig: Any, place: str, tmp_path: Path) -> None:
    rig.submit(*lines(3))
    whole = back_up(mine(rig), tmp_path / "whole").path.read_bytes()
    bad = tmp_path / "bad"
    for content in (whole[: len(whole) * 2 // 3], b"", b"-- no dump", whole[:5]):
        bad.write_bytes(content)
        with pytest.raises(BackupError):
            restore(place, bad)
    engine = create_engine(place)
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar()
            == 0
        )
    engine.dispose()
    restore(place, tmp_path / "whole")
    with pytest.raises(BackupError, match="not empty"):
        restore(place, tmp_path / "whole")


def test_a_newer_backup_is_refused_before_anything_is_written(rig: Any, place: str, tmp_path: Path) -> None:
    rig.query("UPDATE alembic_version SET version_num = '0999_future'")
    file = back_up(mine(rig), tmp_path / "newer").path
    with pytest.raises(BackupError, match="newer version"):
        restore(place, file)


def test_a_backup_writes_over_nothing_and_leaves_no_half_file(rig: Any, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("mine")
    with pytest.raises(BackupError, match="there already"):
        back_up(mine(rig), file)
    assert file.read_text() == "mine"
    with pytest.raises(BackupError, match="does not exist"):
        back_up(url(rig.store, "nowhere"), tmp_path / "other")
    with pytest.raises(BackupError, match="cannot write"):
        back_up(mine(rig), tmp_path / "missing" / "backup")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["backup"]


def test_a_machine_without_data_is_filled_by_command(rig: Any, tmp_path: Path) -> None:
    rig.submit(*lines(2))
    file, state = tmp_path / "backup.dump", tmp_path / "new machine"

    def run(*arguments: object, **environment: str) -> str:
        settings = {"MERGEREASONER_STATE_DIR": str(state), "COLUMNS": "200", **environment}
        done = CliRunner().invoke(app, [str(one) for one in arguments], env=settings)
        assert done.exit_code == 0, done.output
        return done.output

    assert "sha256" in run("db", "backup", file, DATABASE_URL=mine(rig))
    assert "restored" in run("db", "restore", file)
    assert '"queued": 2' in run("status", "--json")
    assert '"n_rows"' in run("db", "partitions", "--json")


def test_a_password_never_stands_among_a_programs_arguments() -> None:
    told = client_environment("postgresql://me:s%40cret@db.example:5433/reasoner?sslmode=require")
    assert told == {
        "PGHOST": "db.example",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGPASSWORD": "s@cret",
        "PGDATABASE": "reasoner",
        "PGSSLMODE": "require",
    }
    with pytest.raises(ValueError, match="surprise"):
        client_environment("postgresql://me@h/d?surprise=1")
