"""Attacks that know how the seals are kept: rows taken out together with the names that would miss them."""

from __future__ import annotations

import pytest

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, restored, seal
from tests.integration.test_seals_told import FINISHED, PRUNED, PRUNING, as_keeper
from worker.hashes.merkle import HASH_BYTES, node_hash
from worker.seals.checking import Tally, verify_task
from worker.stages.desk import Desk

pytestmark = pytest.mark.services

DELETE_VERDICT = "DELETE FROM verdicts WHERE task_id = :id"
OF_DECISION = "WHERE kind = 'decision' AND about_id = :id"
TRIM = f"UPDATE seal_entries SET names = trim_array(names, 1) {OF_DECISION}"


def test_a_verdict_that_is_taken_out_with_its_name_is_missed(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    of_a = id_of(store, "a")
    with restored(store, "verdicts"), restored(store, "seal_entries"):
        attack(store, "verdicts", DELETE_VERDICT, id=of_a)
        attack(store, "seal_entries", TRIM, id=of_a)
        found, _ = found_by(store)
        assert [(one.what.value, one.row, one.note) for one in found] == [
            ("broken", "entry", "it names 4 rows and keeps 5 hashes"),
            ("broken", "seal", "it holds 13 rows, and 12 are named in its entries"),
        ]
        assert [(one.what.value, one.about) for one in verify_task(store, Tally(), of_a)] == [
            ("broken", of_a)
        ]
        # Its hash taken out as well: the root tells.
        cut = f"UPDATE seal_entries SET leaves = substr(leaves, 1, 4 * {HASH_BYTES}) {OF_DECISION}"
        attack(store, "seal_entries", cut, id=of_a)
        assert {what for what, _, _ in differences(store)} == {"broken"}
        assert [one.what.value for one in verify_task(store, Tally(), of_a)] == ["broken", "broken"]
    assert differences(store) == []


def test_a_task_that_is_taken_out_with_all_its_names_is_missed(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    of_b = id_of(store, "b")
    as_keeper(store, "DELETE FROM tasks WHERE id = :id", id=of_b)
    attack(store, "seal_entries", "UPDATE seal_entries SET names = '{}' WHERE about_id = :id", id=of_b)
    assert differences(store) == [("broken", "entry", ()), ("broken", "entry", ()), ("broken", "seal", ())]
    assert {one.row for one in verify_task(store, Tally(), of_b)} == {"entry"}


def test_two_pruned_rows_do_not_pass_for_one(desk: Desk) -> None:
    """The hash over two rows, kept as that of one, gives the same root; the number of rows does not agree."""
    store = desk.store
    decided(desk, "a")
    seal(store)
    of_a = id_of(store, "a")
    as_keeper(
        store, PRUNING, PRUNED, "DELETE FROM chains WHERE task_id = :id", FINISHED, id=of_a, what="evidence"
    )
    assert differences(store) == []
    ((names, leaves),) = query(store, f"SELECT names, leaves FROM seal_entries {OF_DECISION}", id=of_a)
    at = names.index("chain 0")
    left, right = (leaves[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in (at, at + 1))
    both = leaves[: at * HASH_BYTES] + node_hash(left, right) + leaves[(at + 2) * HASH_BYTES :]
    attack(
        store,
        "seal_entries",
        f"UPDATE seal_entries SET names = array_remove(names, 'chain 1'), leaves = :leaves {OF_DECISION}",
        id=of_a,
        leaves=both,
    )
    assert ("broken", "seal", ()) in differences(store)
    assert ("broken", "seal") in [(one.what.value, one.row) for one in verify_task(store, Tally(), of_a)]
