"""What went and what came with leave is told from what somebody removed or slipped in."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, seal
from worker.seals.checking import Tally, verify_task
from worker.stages.desk import Desk
from worker.store.transactions import Store

pytestmark = pytest.mark.services

OLD = """
INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'is_current', false,
                                                     'created_at', now() - interval '90 days'))).* FROM decisions d
WHERE task_id = :id
"""
PRUNING = """
INSERT INTO prunings (id, what, older_than, policy, who) VALUES (gen_random_uuid(), :what, now(), '{}', 'me')
"""
PRUNED = "INSERT INTO pruned_tasks (task_id, what, pruning_id) SELECT :id, :what, id FROM prunings WHERE what = :what"
HASH = "encode(sha256(uuid_send(CAST(:id AS uuid))), 'hex')"
FINISHED = f"UPDATE prunings SET finished_at = now(), n_tasks = 1, tasks_sha256 = {HASH} WHERE what = :what"
IMPORT = f"""
INSERT INTO imports (id, who, file_sha256, n_subjects, subjects_sha256) VALUES (gen_random_uuid(), 'me', '', 1, {HASH})
"""
IMPORTED = "INSERT INTO imported_subjects (about_id, import_id) SELECT :id, id FROM imports"


def as_keeper(store: Store, *statements: str, **values: object) -> None:
    with store.begin() as connection:
        connection.execute(text("SET LOCAL ROLE mergereasoner_keeper"))
        for statement in statements:
            connection.execute(text(statement), values)


def kinds(store: Store) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for one in found_by(store)[0]:
        told.setdefault(one.what.value, set()).add(one.row.split()[0])
    return told


def test_what_a_pruning_took_is_told_from_what_somebody_removed(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    evidence = ("DELETE FROM chains WHERE task_id = :id", "DELETE FROM verdicts WHERE task_id = :id")
    as_keeper(store, PRUNING, PRUNED, *evidence, FINISHED, id=id_of(store, "a"), what="evidence")
    assert kinds(store) == {"pruned": {"chain", "verdict"}}
    seal(store)
    assert query(store, "SELECT kind FROM seal_entries WHERE seal_number = 2") == [("pruning",)]
    assert kinds(store) == {"pruned": {"chain", "verdict"}}
    as_keeper(store, *evidence, id=id_of(store, "b"))
    assert kinds(store) == {"pruned": {"chain", "verdict"}, "removed": {"chain", "verdict"}}


def test_a_task_that_is_listed_after_its_pruning_was_sealed_hides_nothing(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    query(store, "DELETE FROM labels RETURNING 1")  # a task with a label never goes whole
    seal(store)
    as_keeper(
        store,
        PRUNING,
        PRUNED,
        "DELETE FROM tasks WHERE id = :id",
        FINISHED,
        id=id_of(store, "a"),
        what="task",
    )
    seal(store)
    assert kinds(store) == {"pruned": {"task", "decision", "chain", "verdict"}}
    of_b = id_of(store, "b")
    as_keeper(store, PRUNED, "DELETE FROM chains WHERE task_id = :id", id=of_b, what="task")
    assert ("changed", "pruning", ()) in differences(store)
    attack(store, "pruned_tasks", "DELETE FROM pruned_tasks WHERE task_id = :id", id=of_b)
    assert {row for what, row, _ in differences(store) if what == "removed"} == {"chain 0", "chain 1"}


def test_what_an_import_brought_is_told_from_what_was_slipped_in(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    as_keeper(store, OLD, IMPORT, IMPORTED, id=id_of(store, "a"))
    assert kinds(store) == {"imported": {"decision"}}  # in no seal yet
    assert [one.n_entries for one in seal(store)] == [2]  # the import makes the whole record looked through
    assert kinds(store) == {"imported": {"decision"}}
    assert [one.what.value for one in verify_task(store, Tally(), id_of(store, "a"))] == ["imported"]
    as_keeper(store, OLD, id=id_of(store, "b"))
    assert kinds(store) == {"imported": {"decision"}, "inserted": {"decision"}}
    as_keeper(store, IMPORTED, id=id_of(store, "b"))
    assert ("changed", "import", ()) in differences(store)
