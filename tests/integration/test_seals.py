"""Seals over a real record: whatever is changed, removed, inserted or moved is found and named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from db.tables import METADATA
from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, restored, seal
from worker.seals.checking import Tally, verify_task
from worker.stages.desk import Desk
from worker.store.seals import Subject, rows_of

pytestmark = pytest.mark.services

SEALED = ("tasks", "chains", "verdicts", "decisions", "clusters", "labels", "calibrations", "redactions")

# What of a sealed row may change, since it says where the work stands or is counted from other rows.
FREE = {
    "tasks": {
        "route",
        "state",
        "model",
        "priority",
        "urgency",
        "waits_since",
        "attempt",
        "deliveries",
        "holder",
        "lease_until",
        "not_before",
        "published_at",
        "tokens_spent",
        "tokens_saved",
        "error",
        "finished_at",
    },
    "decisions": {"is_current"},
    "calibrations": {"status", "activated_at"},
    # Part of the name of a row: another one is a row removed and a row inserted, tried below.
    "chains": {"task_id", "index"},
    "verdicts": {"task_id", "candidate", "verifier", "version"},
    "clusters": {"decision_id", "number"},
    "redactions": {"task_id"},
}

OTHER = {
    "text": "coalesce({0}, '') || 'x'",
    "uuid": "gen_random_uuid()",
    "double precision": "coalesce({0}, 0) + 0.5",
    "integer": "coalesce({0}, 0) + 1",
    "smallint": "coalesce({0}, 0) + 1",
    "bigint": "coalesce({0}, 0) + 1",
    "boolean": "NOT coalesce({0}, false)",
    "jsonb": "jsonb_build_array({0})",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
    "ARRAY": "{0} || ARRAY[7]::smallint[]",
}
OTHER_TEXT = {"candidate": "'other'", "outcome": "'refuted'"}

COLUMNS = text("""
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :table AND table_schema = 'public'
""")


def test_a_record_as_it_was_sealed_has_no_difference(desk: Desk) -> None:
    decided(desk, "a", "b", "c")
    (made,) = seal(desk.store)
    assert made.n_entries == 3 + 3 + 1  # decisions, labels, the first calibration
    found, tally = found_by(desk.store, anchor=made.hash)
    assert (found, tally.n_entries, tally.n_unsealed) == ([], 7, 0)
    assert tally.n_rows == 3 * 5 + 3 + 1  # task, decision, two chains, a verdict
    assert seal(desk.store) == []


@pytest.mark.parametrize("table", SEALED)
def test_every_column_of_every_sealed_row_is_under_seal(desk: Desk, table: str) -> None:
    assert table in METADATA.tables
    store = desk.store
    decided(desk, "a", "b")
    query(
        store,
        "INSERT INTO redactions (id, task_id, who, why, details) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'me', 'why', '{\"texts\": {}}') RETURNING 1",
    )
    seal(store)
    with store.connect() as connection:
        columns = connection.execute(COLUMNS, {"table": table}).all()
    assert len(columns) > 5
    for name, kind in columns:
        if name in FREE.get(table, ()):
            continue
        new = OTHER_TEXT.get(name, OTHER[kind].format(f'"{name}"'))
        with restored(store, table):
            one = "ctid = (SELECT min(ctid) FROM {0} WHERE tableoid = (SELECT min(tableoid) FROM {0}))"
            attack(
                store,
                table,
                "SET LOCAL session_replication_role = replica",
                f'UPDATE {table} SET "{name}" = {new} WHERE {one.format(table)}',
                "SET LOCAL session_replication_role = origin",
            )
            assert differences(store), f"{table}.{name} was changed and nothing said so"
    assert differences(store) == []


def test_a_change_is_named_by_row_and_group(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    changes = {
        "UPDATE chains SET text = 'other' WHERE index = 1": ("chain 1", ("text",)),
        "UPDATE chains SET logprob = -0.2 WHERE index = 0": ("chain 0", ("sampling",)),
        "UPDATE chains SET explanations = '[]' WHERE index = 0": ("chain 0", ("answer",)),
        "UPDATE verdicts SET reason = 'because'": ("verdict math 1 answer:0:abc", ("evidence",)),
        "UPDATE verdicts SET outcome = 'refuted'": ("verdict math 1 answer:0:abc", ("verdict",)),
        "UPDATE tasks SET spec = jsonb_set(spec, '{prompt}', '\"?\"')": ("task", ("prompt",)),
        "UPDATE labels SET answers = '[\"5\"]'": ("label", ("answers",)),
        "UPDATE clusters SET posterior = posterior / 2 WHERE number = 0": ("decision", ("clusters",)),
        "UPDATE clusters SET answer = '9' WHERE number = 0": ("decision", ("answers",)),
        "UPDATE decisions SET confidence = confidence / 2": ("decision", ("decision",)),
        "UPDATE calibrations SET report = '{\"a\": 1}'": ("calibration", ("report",)),
    }
    for statement, (row, groups) in changes.items():
        table = statement.split()[1]
        with restored(store, table):
            attack(store, table, statement)
            ((what, named, differ),) = differences(store)
            assert (what, differ) == ("changed", groups), statement
            assert named == row or named.startswith(f"{row} "), statement
    assert differences(store) == []


def test_a_decisions_text_is_what_postgres_prints_for_the_whole_object(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    (expected,) = query(
        store,
        "SELECT jsonb_build_object('answer', d.answer, 'document', d.document, 'clusters', "
        "  (SELECT jsonb_agg(c.answer ORDER BY c.number) FROM clusters c WHERE c.decision_id = d.id))::text, "
        "(SELECT jsonb_agg(to_jsonb(c) - '{decision_id,answer}'::text[] ORDER BY c.number) FROM clusters c)::text, "
        "d.id FROM decisions d",
    )
    at = datetime.now(UTC)
    subject = Subject(kind="decision", subject_id=expected[2], about_id=id_of(store, "a"), at=at)
    row = next(one for one in rows_of(store, [subject])[expected[2]] if one.kind == "decision")
    assert (row.texts[2], row.texts[1]) == expected[:2]


def test_what_is_removed_inserted_or_swapped_is_named(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    with restored(store, "chains"):
        attack(store, "chains", "DELETE FROM chains WHERE index = 0 AND task_id = :id", id=id_of(store, "a"))
        assert differences(store) == [("removed", "chain 0", ())]
    with restored(store, "chains"):
        attack(
            store,
            "chains",
            "INSERT INTO chains SELECT (jsonb_populate_record(c, '{\"index\": 2}')).* FROM chains c "
            "WHERE index = 0 AND task_id = :id",
            id=id_of(store, "a"),
        )
        assert differences(store) == [("inserted", "chain 2", ())]
    with restored(store, "chains"):
        attack(
            store,
            "chains",
            "UPDATE chains c SET text = o.text FROM chains o WHERE o.task_id = c.task_id AND o.index = 1 - c.index "
            "AND c.task_id = :id",
            id=id_of(store, "a"),
        )
        assert sorted(differences(store)) == [
            ("changed", "chain 0", ("text",)),
            ("changed", "chain 1", ("text",)),
        ]
    with restored(store, "clusters"):
        attack(store, "clusters", "DELETE FROM clusters WHERE number = 1")
        assert {(what, groups) for what, _, groups in differences(store)} == {
            ("changed", ("clusters", "answers"))
        }
    assert differences(store) == []
    with store.begin() as connection:  # the keeper may; without a record of it, it is a removal all the same
        connection.execute(text("SET LOCAL ROLE mergereasoner_keeper"))
        connection.execute(text("DELETE FROM tasks WHERE custom_id = 'a'"))
    found, _ = found_by(store)
    assert {one.what.value for one in found} == {"removed"}
    assert {one.row.split()[0] for one in found} == {"task", "decision", "chain", "verdict", "label"}


def test_a_decision_that_is_put_in_later_with_an_old_time_is_named(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    query(
        store,
        "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), "
        "'is_current', false))).* FROM decisions d RETURNING 1",
    )
    (found,) = found_by(store)[0]
    assert (found.what.value, found.about) == ("inserted", id_of(store, "a"))
    assert list(verify_task(store, Tally(), id_of(store, "a"))) == [found]
    seal(store)  # it is in a seal then, but in one that came after its time
    (found,) = found_by(store)[0]
    assert (found.what.value, found.seal) == ("backdated", 2)
    assert [one.what.value for one in verify_task(store, Tally(), id_of(store, "a"))] == ["backdated"]


def test_a_second_decision_of_a_sealed_task_comes_into_a_later_seal(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    with store.begin() as connection:
        for statement in (
            "INSERT INTO chains SELECT (jsonb_populate_record(c, '{\"index\": 2}')).* FROM chains c WHERE index = 0",
            "UPDATE decisions SET is_current = false",
            "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), "
            "'is_current', true, 'created_at', now()))).* FROM decisions d",
        ):
            connection.execute(text(statement))
    assert [one.n_entries for one in seal(store)] == [1]
    assert differences(store) == []  # the new chain is no insertion: the later entry holds it


def test_seals_and_kept_hashes_cannot_be_forged_piecemeal(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b", "c")
    seal(store)
    decided(desk, "d")
    seal(store)
    same_rows = "the rows are as they were sealed, but the hashes kept for them were changed"
    with restored(store, "seal_entries"):
        attack(
            store,
            "seal_entries",
            "UPDATE seal_entries SET leaves = overlay(leaves placing '\\x00'::bytea from 1) "
            "WHERE seal_number = 1 AND kind = 'decision' AND about_id = :id",
            id=id_of(store, "b"),
        )
        found, _ = found_by(store)
        assert [(one.what.value, one.row) for one in found] == [("changed", "task"), ("broken", "seal")]
        assert found[1].note == same_rows
    with restored(store, "seal_entries"):
        attack(store, "seal_entries", "DELETE FROM seal_entries WHERE seal_number = 1 AND position = 1")
        assert ("removed", "entry", ()) in differences(store)
        assert {what for what, _, _ in differences(store)} == {"removed", "broken", "inserted"}
    with restored(store, "seal_entries"):
        attack(
            store,
            "seal_entries",
            "UPDATE seal_entries SET position = -1 WHERE seal_number = 1 AND position = 0",
            "UPDATE seal_entries SET position = 0 WHERE seal_number = 1 AND position = 1",
            "UPDATE seal_entries SET position = 1 WHERE seal_number = 1 AND position = -1",
        )
        assert ("broken", "entry", ()) in differences(store)
    with restored(store, "seal_entries"):
        attack(
            store,
            "seal_entries",
            "INSERT INTO seal_entries SELECT 1, 99, kind, gen_random_uuid(), about_id, at, names, leaves, marks "
            "FROM seal_entries WHERE seal_number = 1 AND position = 0",
        )
        assert differences(store) == [("inserted", "entry", ())]
    for change in (
        "header = replace(header, '\"rows\"', '\"Rows\"')",
        "n_entries = n_entries - 1",
        "root = hash",
        "who = 'other'",
        "sealed_at = sealed_at - interval '1 day'",
    ):
        with restored(store, "seals"):
            attack(store, "seals", f"UPDATE seals SET {change} WHERE number = 1")
            assert ("broken", "seal", ()) in differences(store), change
    with restored(store, "seals"):  # made anew with its hash: then the next one does not hold on to it
        says = """replace(header, '"who":"test"', '"who":"me"')"""
        whole = f"header = {says}, hash = sha256('\\x02'::bytea || convert_to({says}, 'UTF8')), who = 'me'"
        attack(store, "seals", f"UPDATE seals SET {whole} WHERE number = 1")
        (broken,) = found_by(store)[0]
        assert (broken.what.value, broken.seal) == ("broken", 2)
    with restored(store, "seals"):
        attack(store, "seals", "DELETE FROM seals WHERE number = 1")
        assert ("removed", "seal", ()) in differences(store)
    assert differences(store) == []


def test_newest_seals_that_were_cut_off_are_missed_only_by_who_kept_a_hash(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    decided(desk, "b")
    (last,) = seal(store)
    attack(store, "seals", "DELETE FROM seals WHERE number = 2")
    attack(store, "seal_entries", "DELETE FROM seal_entries WHERE seal_number = 2")
    assert differences(store) == []
    assert differences(store, anchor=last.hash) == [("removed", "seal", ())]


def test_a_span_of_time_looks_at_its_seals_only(desk: Desk) -> None:
    store, made = desk.store, []
    for name in "abcd":
        decided(desk, name)
        made += seal(store)
    attack(store, "chains", "UPDATE chains SET text = 'x' WHERE task_id = :id", id=id_of(store, "a"))
    found, tally = found_by(store, since=made[1].until_at)
    assert (found, tally.n_seals) == ([], 3)
    found, tally = found_by(store, until=made[0].until_at)
    assert ({one.about for one in found}, tally.n_seals) == ({id_of(store, "a")}, 1)
    assert list(verify_task(store, Tally(), id_of(store, "b"))) == []
    assert len(list(verify_task(store, Tally(), id_of(store, "a")))) == 2


def test_times_and_floats_are_hashed_as_they_are_whatever_a_session_prefers(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    name = query(store, "SELECT current_database()")[0][0]
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in ("timezone = 'Asia/Tokyo'", "extra_float_digits = 0"):
            connection.execute(text(f"ALTER DATABASE {name} SET {setting}"))
    store.dispose()
    assert query(store, "SHOW timezone")[0][0] == "Asia/Tokyo"
    assert differences(store) == []
