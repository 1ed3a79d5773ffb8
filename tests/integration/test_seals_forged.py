"""Attacks that know how the seals are kept: rows taken out together with the names that would miss them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, login, restored, seal
from tests.integration.test_seals_told import FINISHED, PRUNED, PRUNING, as_keeper
from worker.hashes.merkle import HASH_BYTES, node_hash
from worker.seals.checking import Tally, verify_task
from worker.stages.desk import Desk
from worker.store.replays import Selection, decision_pages
from worker.store.transactions import Store

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


INSTEAD = """
INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'is_current', true,
                                                    'answer', 'forged', 'created_at', CAST(:at AS text)))).*
FROM decisions d WHERE task_id = :id LIMIT 1
"""
NOT_CURRENT = "UPDATE decisions SET is_current = false WHERE task_id = :id"
A_LABEL = """
INSERT INTO labels (id, task_id, answers, source, recorded_at)
SELECT gen_random_uuid(), id, '["5"]', 'slipped', CAST(:at AS timestamptz) FROM tasks WHERE id = :id
"""
A_CALIBRATION = """
INSERT INTO calibrations SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'status',
                                 'candidate', 'created_at', CAST(:at AS text)))).* FROM calibrations c LIMIT 1
"""
OUT_OF_REACH = ("-infinity", "4000-01-01 BC", "1899-12-31", "2999-01-01", "infinity")


def put(store: Store, *statements: str, **values: object) -> None:
    with store.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


@pytest.mark.parametrize("at", OUT_OF_REACH)
def test_workers_put_nothing_on_record_with_a_time_that_no_seal_reaches(desk: Desk, at: str) -> None:
    decided(desk, "a")
    seal(desk.store)
    workers, of_a = login(desk.store, "seals_worker"), id_of(desk.store, "a")
    for statements in ((NOT_CURRENT, INSTEAD), (A_LABEL,), (A_CALIBRATION,)):
        with pytest.raises(IntegrityError):
            put(workers, *statements, id=of_a, at=at)
    workers.dispose()


def test_what_workers_put_in_with_a_sealed_time_in_place_of_a_decision_is_named(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    workers, of_a = login(store, "seals_worker"), id_of(store, "a")
    put(workers, NOT_CURRENT, INSTEAD, id=of_a, at="1900-01-01")
    workers.dispose()
    assert [what for what, _, _ in differences(store)] == ["inserted"]
    assert seal(store, everything=True)
    assert [what for what, _, _ in differences(store)] == ["backdated"]
    (page,) = decision_pages(store, Selection(tenant="default"))
    assert len(page) == 2  # a replay of everything comes by


@pytest.mark.parametrize("at", OUT_OF_REACH)
def test_rows_that_the_owner_puts_beyond_every_seal_are_named(desk: Desk, at: str) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    of_a = id_of(store, "a")
    for table in ("decisions", "labels", "calibrations"):
        put(store, f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_times_within_reach")
    attack(store, "decisions", NOT_CURRENT, INSTEAD, id=of_a, at=at)
    attack(store, "labels", A_LABEL, id=of_a, at=at)
    attack(store, "calibrations", A_CALIBRATION, at=at)
    found = {(what, row.split()[0]) for what, row, _ in differences(store)}
    assert found == {("inserted", kind) for kind in ("decision", "label", "calibration")}
    assert {one.what.value for one in verify_task(store, Tally(), of_a)} == {"inserted"}
    seal(store, everything=True)  # goes on with what can be sealed
    assert differences(store)


def test_a_clock_that_was_set_back_a_little_stops_nobody(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    soon = datetime.now(UTC) + timedelta(minutes=4)
    put(store, NOT_CURRENT, INSTEAD, id=id_of(store, "a"), at=soon.isoformat())
    found, tally = found_by(store)
    assert (found, tally.n_unsealed) == ([], 1)
