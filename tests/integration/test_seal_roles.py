"""Who may change what: attacked with real SQL, as the workers' role, as the owner and as a superuser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from db.migrate import downgrade, migrate
from db.seals import KEEPER_ROLE, WORKER_ROLE
from db.session import connect
from db.tables import METADATA
from tests.integration.bench import Outbox, query, send
from tests.integration.sealed import decided, differences, found_by, login, seal
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.seals.redacting import ALL_PARTS, redact
from worker.settings import Settings
from worker.stages import seal as stage
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.reconcile import reconcile
from worker.store.transactions import Store

pytestmark = pytest.mark.services

CONTENT = (
    "UPDATE chains SET text = 'x'",
    "UPDATE chains_default SET text = 'x'",
    "DELETE FROM chains",
    "DELETE FROM chains_default",
    "UPDATE verdicts SET outcome = 'refuted'",
    "DELETE FROM verdicts",
    "UPDATE decisions SET answer = 'x'",
    "UPDATE decisions SET is_current = true, document = '{}'",
    "DELETE FROM decisions",
    "UPDATE clusters SET posterior = 1",
    "DELETE FROM clusters",
    "UPDATE labels SET answers = '[]'",
    "DELETE FROM labels",
    "UPDATE tasks SET spec = '{}'",
    "UPDATE tasks SET custom_id = 'x'",
    "DELETE FROM tasks",
    "UPDATE calibrations SET tau_conf = 0",
    "UPDATE seals SET who = 'x'",
    "DELETE FROM seals",
    "UPDATE seal_entries SET leaves = ''",
    "DELETE FROM seal_entries",
    "UPDATE seal_salts SET seed = NULL",
    "DELETE FROM seal_salts",
    "TRUNCATE chains",
    "TRUNCATE chains_default",
    "TRUNCATE tasks CASCADE",
    "TRUNCATE seals",
    "MERGE INTO chains c USING (SELECT 1) o ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM verdicts RETURNING 1) SELECT * FROM gone",
    "INSERT INTO decisions SELECT * FROM decisions ON CONFLICT (id) DO UPDATE SET answer = 'x'",
)
ONLY_OF_THE_OWNER = (
    "ALTER TABLE chains DISABLE TRIGGER ALL",
    "DROP TABLE verdicts",
    "ALTER TABLE chains DETACH PARTITION chains_default",
    "DROP FUNCTION seals_refuse_change() CASCADE",
    "CREATE OR REPLACE FUNCTION seals_refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
    f"SET ROLE {KEEPER_ROLE}",
    f"SELECT set_config('role', '{KEEPER_ROLE}', true)",
    "INSERT INTO redactions (id, task_id, who, why, details) SELECT id, id, '', '', '{}' FROM tasks",
)


def refused(store: Store, *statements: str) -> bool:
    """Return whether the last of these statements, in one transaction, is refused for want of rights."""
    try:
        with store.connect() as connection, connection.begin() as running:
            for statement in statements:
                connection.execute(text(statement))
            running.rollback()
    except ProgrammingError as error:
        return getattr(error.orig, "sqlstate", None) == "42501"
    return False


def test_the_workers_role_changes_nothing_that_was_concluded(desk: Desk) -> None:
    decided(desk, "a", "b")
    workers = login(desk.store, "seals_worker")
    for statement in (*CONTENT, *ONLY_OF_THE_OWNER):
        assert refused(workers, statement), statement  # not sealed yet, and refused all the same
    seal(desk.store)
    for statement in (*CONTENT, *ONLY_OF_THE_OWNER):
        assert refused(workers, statement), statement
    query(workers, "UPDATE decisions SET is_current = false RETURNING 1")
    assert differences(desk.store) == []
    workers.dispose()


def test_a_table_of_the_same_name_in_a_session_fools_no_trigger(desk: Desk) -> None:
    decided(desk, "a")
    seal(desk.store)
    for name in ("seal_entries", "seals"):
        hides = f"CREATE TEMP TABLE {name} (LIKE {name}) ON COMMIT DROP"
        assert refused(desk.store, hides, "DELETE FROM chains")
        assert refused(desk.store, hides, "TRUNCATE verdicts")


def test_owner_and_superuser_have_to_set_the_keepers_role(desk: Desk) -> None:
    store = desk.store
    assert query(store, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(True,)]
    decided(desk, "a")
    at_once = [
        one for one in CONTENT if "seal" not in one and "is_current" not in one and "ON CONFLICT" not in one
    ]
    seal(store)
    for statement in at_once:
        assert refused(store, statement), statement
    assert refused(store, "SET LOCAL session_replication_role = replica", "DELETE FROM chains")
    keeper = f"SET LOCAL ROLE {KEEPER_ROLE}"
    for statement in ("UPDATE chains SET text = 'x'", "DELETE FROM verdicts", "DELETE FROM tasks"):
        assert not refused(store, keeper, statement), statement
    for statement in ("UPDATE seals SET who = 'x'", "DELETE FROM seal_entries"):
        assert refused(store, keeper, statement), statement
        assert refused(store, statement), statement
    assert not refused(store, "UPDATE decisions SET is_current = false")


def test_what_is_not_sealed_can_be_deleted_with_all_that_hangs_on_it(desk: Desk) -> None:
    decided(desk, "a")
    seal(desk.store)
    decided(desk, "b")
    query(desk.store, "DELETE FROM tasks WHERE custom_id = 'b' RETURNING 1")
    assert query(desk.store, "SELECT count(DISTINCT task_id) FROM chains") == [(1,)]
    assert differences(desk.store) == []


def test_partitions_made_later_are_guarded_like_the_others(desk: Desk) -> None:
    store = desk.store
    with store.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE chains_ahead PARTITION OF chains FOR VALUES "
                "FROM ('00000000-0000-0000-0000-000000000000') TO ('ffffffff-0000-0000-0000-000000000000')"
            )
        )
    decided(desk, "a")
    seal(store)
    assert query(store, "SELECT count(*) FROM chains_ahead") == [(2,)]
    assert refused(store, "UPDATE chains_ahead SET text = 'x'")
    assert refused(store, "SET LOCAL session_replication_role = replica", "DELETE FROM chains_ahead")
    workers = login(store, "seals_worker")
    assert refused(workers, "DELETE FROM chains_ahead")
    workers.dispose()


def test_the_queue_works_with_no_more_than_the_workers_rights(desk: Desk, outbox: Outbox) -> None:
    workers = login(desk.store, "seals_sealer")
    mine = replace(desk, store=workers)
    decided(mine, "a", "b", owner=desk.store)
    with (
        desk.store.begin() as connection
    ):  # a role is of the whole cluster, and may be left from another test
        connection.execute(text("REVOKE pg_read_all_stats FROM seals_sealer"))
        # The first calibration is as old as the tests' template, which may be older than what it seals blindly.
        connection.execute(text("UPDATE calibrations SET created_at = now()"))
    with desk.store.connect():  # somebody else's session, whose transactions this login may not see
        assert stage.seal(mine) == 0
        with desk.store.begin() as connection:
            connection.execute(text("GRANT pg_read_all_stats TO seals_sealer"))
        assert stage.seal(mine) == 1
    assert found_by(workers)[0] == []
    send(mine, {"custom_id": "math", "kind": "math", "prompt": "1+1?", "candidates": ["2", "3"]})
    generate_given(mine, outbox.take(GENERATE_GIVEN))
    decide(mine, outbox.take(DECIDE))
    reconcile(mine, outbox)
    workers.dispose()


def test_every_table_can_be_read_by_workers(desk: Desk) -> None:
    workers = login(desk.store, "seals_worker")
    for name in METADATA.tables:
        query(workers, f"SELECT 1 FROM {name} LIMIT 1")
    assert refused(workers, "UPDATE alembic_version SET version_num = 'x'")
    workers.dispose()


def test_a_login_that_may_be_keeper_redacts_and_no_more(desk: Desk) -> None:
    decided(desk, "a")
    seal(desk.store)
    keeper = login(desk.store, "seals_keeper", role=KEEPER_ROLE)
    (task_id,) = query(keeper, "SELECT id FROM tasks")[0]
    redact(keeper, task_id, tenant="default", parts=ALL_PARTS, who="me", why="why")
    assert differences(desk.store) == []
    assert refused(keeper, "DELETE FROM seal_entries")
    assert refused(keeper, "UPDATE redactions SET why = 'other'")
    keeper.dispose()


def test_a_login_without_the_right_to_make_roles_is_told_which_are_missing(settings: Settings) -> None:
    assert settings.database_url is not None
    admin = connect(settings.database_url)
    other = f"{settings.database_url.partition('?')[0].rpartition('/')[2]}_managed"
    plain = login(admin, "seals_migrator")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {other} OWNER seals_migrator"))
    url = plain.url.set(database=other).render_as_string(hide_password=False)
    migrate(url)  # the roles are there, made beforehand: enough for a login that may make none
    downgrade(url, revision="0005_calibration_nights")
    engine = create_engine(url)
    with engine.connect() as connection:
        left = connection.execute(
            text("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%sealed%'")
        ).scalar_one()
        rights = connection.execute(
            text(f"SELECT has_table_privilege('{WORKER_ROLE}', 'chains', 'SELECT')")
        ).scalar_one()
    engine.dispose()
    assert (left, rights) == (0, False)
    plain.dispose()
    admin.dispose()


def test_a_missing_role_is_told_with_the_statement_that_makes_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(__file__).parents[2] / "migrations"
    copied = tmp_path / "migrations"
    for source in (*folder.glob("*.py"), *folder.glob("versions/*.py")):
        target = copied / source.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_text(encoding="utf-8").replace(WORKER_ROLE, "mergereasoner_no_such_role")
        target.write_text(content, encoding="utf-8")
    monkeypatch.setattr("db.migrate.migrations_folder", lambda: copied)
    admin = connect(str(settings.database_url))
    other = f"{admin.url.database}_without_roles"
    plain = login(admin, "seals_migrator")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {other} OWNER seals_migrator"))
    with pytest.raises(PermissionError, match="CREATE ROLE mergereasoner_no_such_role NOLOGIN"):
        migrate(plain.url.set(database=other).render_as_string(hide_password=False))
    plain.dispose()
    admin.dispose()
