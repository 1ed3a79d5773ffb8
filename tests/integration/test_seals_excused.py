"""A pruning excuses what it took and an import what it brought, and nothing besides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from db.retention import EVIDENCE
from tests.integration.bench import query
from tests.integration.sealed import decided, differences, id_of, seal
from tests.integration.test_seals_told import (
    FINISHED,
    IMPORT,
    IMPORTED,
    OLD,
    PRUNED,
    PRUNING,
    as_keeper,
    kinds,
)
from worker.pruning import prune
from worker.seals.checking import Tally, verify_task
from worker.stages.desk import Desk
from worker.store.exporting import Wanted
from worker.store.pruning import Rule
from worker.store.transactions import Store
from worker.transfer import export, import_file

pytestmark = pytest.mark.services

OF_ONCE = PRUNING.replace("now()", "'2001-01-01'")
NO_VERDICT = "DELETE FROM verdicts WHERE task_id = :id"
LATE_LABEL = """
INSERT INTO labels (id, task_id, answers, source, recorded_at)
SELECT gen_random_uuid(), :id, '["5"]', 'slipped', now() - interval '30 days'
"""


def test_a_pruning_that_did_not_end_is_a_difference_until_the_next_one_ends_it(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    of_a = id_of(store, "a")
    as_keeper(store, PRUNING, PRUNED, NO_VERDICT, id=of_a, what="evidence")
    assert kinds(store) == {"pruned": {"verdict"}, "inserted": {"pruning"}}
    assert {one.row for one in verify_task(store, Tally(), of_a) if one.is_difference} == {"pruning"}
    assert list(verify_task(store, Tally(), id_of(store, "b"))) == []
    assert seal(store) == []
    nothing = Rule(
        tenant="default", older_than=datetime(2001, 1, 1, tzinfo=UTC), keep_labelled=False, pruning_id=uuid7()
    )
    prune(store, {EVIDENCE: [nothing]}, who="me", dry_run=True)
    assert kinds(store)["inserted"] == {"pruning"}
    prune(store, {EVIDENCE: [nothing]}, who="me")
    ((n_tasks, counts),) = query(store, "SELECT n_tasks, counts FROM prunings WHERE finished_at IS NOT NULL")
    assert (n_tasks, counts) == (1, {"stopped": True})
    assert kinds(store) == {"pruned": {"verdict"}}
    assert [one.n_entries for one in seal(store)] == [1]
    assert kinds(store) == {"pruned": {"verdict"}}


def test_a_pruning_of_what_was_older_excuses_nothing(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    as_keeper(store, OF_ONCE, PRUNED, NO_VERDICT, FINISHED, id=id_of(store, "a"), what="evidence")
    for _ in range(2):
        assert differences(store) == [("removed", "verdict math 1 answer:0:abc", ())]
        seal(store)


def test_no_pruning_excuses_a_label(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
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
    assert kinds(store) == {"pruned": {"task", "decision", "chain", "verdict"}, "removed": {"label"}}


def test_an_older_import_excuses_nothing_that_came_after_its_seal(desk: Desk) -> None:
    """It lists the task, and not what it brought of it."""
    store = desk.store
    decided(desk, "a")
    seal(store)
    of_a = id_of(store, "a")
    as_keeper(store, OLD, IMPORT, IMPORTED, id=of_a)
    seal(store)
    assert kinds(store) == {"imported": {"decision"}}
    as_keeper(store, LATE_LABEL, OLD, id=of_a)
    assert kinds(store) == {"imported": {"decision"}, "inserted": {"decision", "label"}}
    assert {one.what.value for one in verify_task(store, Tally(), of_a)} == {"imported", "inserted"}
    assert seal(store, everything=True)
    assert kinds(store)["imported"] == {"decision"}
    assert kinds(store)["backdated"] == {"label", "decision"}


def test_an_import_excuses_the_decisions_and_labels_that_it_brought(
    desk: Desk, other: Store, tmp_path: Path
) -> None:
    decided(desk, "a")
    path = export(desk.store, Wanted(tenant="default"), tmp_path / "l").path
    decided(replace(desk, store=other), "b")
    seal(other)
    import_file(other, path, tenant="default", who="auditor")
    of_a = id_of(other, "a")
    listed = {row[0] for row in query(other, "SELECT about_id FROM imported_subjects")}
    ids = query(
        other,
        "SELECT id FROM decisions WHERE task_id = :id UNION SELECT id FROM labels WHERE task_id = :id",
        id=of_a,
    )
    assert listed == {row[0] for row in ids}
    as_keeper(other, LATE_LABEL, id=of_a)  # before a seal took the import in
    assert kinds(other) == {"imported": {"decision"}, "inserted": {"label"}}
    seal(other)
    assert kinds(other) == {"imported": {"decision"}, "backdated": {"label"}}
