"""Attacks that know how the seals are kept: rows taken out together with the names that would miss them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, login, restored, seal
from tests.integration.test_seals_told import FINISHED, PRUNED, PRUNING, as_keeper
from worker.hashes.leaves import GROUPS, PARTS, digests_of
from worker.hashes.merkle import HASH_BYTES, node_hash
from worker.seals.checking import Tally, verify_task
from worker.seals.redacting import ALL_PARTS, redact
from worker.stages.desk import Desk
from worker.store.replays import Selection, decision_pages
from worker.store.seals import entries_about, rows_of, salts_of
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
SHA = "to_jsonb(encode(sha256(convert_to(:now, 'UTF8')), 'hex'))"
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


FORGED_TEXTS = {
    "UPDATE chains SET answer = 'Anna is 99' WHERE index = 0": ("chain", "answer"),
    "UPDATE chains SET answer = 'Anna is 99' WHERE index = 1": ("chain", "answer"),
    "UPDATE chains SET explanations = '[7]' WHERE index = 0": ("chain", "answer"),
    "UPDATE chains SET explanations = jsonb_set(explanations, '{0,answer}', '\"other\"') WHERE index = 0": (
        "chain",
        "answer",
    ),
    "UPDATE chains SET text = 'Anna is 99' WHERE index = 1": ("chain", "text"),
    'UPDATE verdicts SET evidence = \'{"quoted": "other"}\'': ("verdict", "evidence"),
    "UPDATE verdicts SET reason = 'other'": ("verdict", "evidence"),
    "UPDATE tasks SET spec = jsonb_set(spec, '{prompt}', '\"other\"')": ("task", "prompt"),
    "UPDATE tasks SET spec = jsonb_set(spec, '{metadata}', '{\"a\": 1}')": ("task", "prompt"),
    "UPDATE tasks SET spec = jsonb_set(spec, '{kind}', '\"math\"')": ("task", "prompt"),
    "UPDATE tasks SET spec = jsonb_set(spec, '{note}', '\"other\"')": ("task", "prompt"),
    "UPDATE tasks SET spec = '[]'": ("task", "prompt"),
    "UPDATE decisions SET answer = 'Anna is 99'": ("decision", "answers"),
    "UPDATE decisions SET document = jsonb_set(document, '{answer}', '\"other\"')": ("decision", "answers"),
    "UPDATE clusters SET answer = 'other' WHERE number = 0": ("decision", "answers"),
    "UPDATE labels SET answers = '[\"5\"]'": ("label", "answers"),
}


def texts_on_record(store: Store, task_id: UUID) -> dict[str, str]:
    """Return, by row and group, what stands there now."""
    rows = (row for of in rows_of(store, entries_about(store, task_id)).values() for row in of)
    return {
        f"{row.name}/{group}": text
        for row in rows
        for group, text in zip(GROUPS[row.kind], row.texts, strict=True)
    }


def test_a_redaction_excuses_its_mark_and_no_other_text(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    of_a = id_of(store, "a")
    redact(store, of_a, tenant="default", parts=ALL_PARTS, who="me", why="asked")
    assert differences(store) == []
    for statement, (kind, group) in FORGED_TEXTS.items():
        table = statement.split()[1]
        with restored(store, table), restored(store, "redactions"):
            before = texts_on_record(store, of_a)
            attack(store, table, statement)
            now = {
                place: text for place, text in texts_on_record(store, of_a).items() if text != before[place]
            }
            assert [place.split()[0].split("/")[0] for place in now] == [kind], statement
            for place, text in now.items():
                claimed = f"UPDATE redactions SET details = jsonb_set(details, ARRAY['texts', :place, 'now'], {SHA})"
                attack(store, "redactions", claimed, place=place, now=text)
            assert {(what, row.split()[0], groups) for what, row, groups in differences(store)} == {
                ("changed", kind, (group,))
            }, statement
    assert differences(store) == []


def test_a_redaction_that_somebody_wrote_by_hand_changes_no_answer(desk: Desk) -> None:
    """As the keeper: another answer in a sealed chain, and a redaction that gives the old hash for it."""
    store = desk.store
    decided(desk, "a")
    seal(store)
    of_a = id_of(store, "a")
    (salts,) = salts_of(store, [of_a]).values()
    rows = {row.name: row for of in rows_of(store, entries_about(store, of_a)).values() for row in of}
    place, before = "chain 0/answer", rows["chain 0"]
    as_keeper(store, "UPDATE chains SET answer = 'Anna is 99' WHERE task_id = :id AND index = 0", id=of_a)
    now = hashlib.sha256(texts_on_record(store, of_a)[place].encode()).hexdigest()
    told = {"texts": {place: {"salted": digests_of(before, salts)[2].hex(), "now": now}}}
    kept: dict[str, str] = {}
    for row in rows.values():
        for group in GROUPS[row.kind]:
            salt = salts.of(row.name, group) if (row.kind, group) in PARTS else None
            if salt is not None and f"{row.name}/{group}" != place:
                kept[f"{row.name}/{group}"] = salt.hex()
    as_keeper(
        store,
        "INSERT INTO redactions (id, task_id, who, why, details) VALUES (gen_random_uuid(), :id, 'x', 'x', :told)",
        "UPDATE seal_salts SET seed = NULL, kept = :kept WHERE task_id = :id",
        id=of_a,
        told=json.dumps(told),
        kept=json.dumps(kept),
    )
    for _ in range(2):
        assert differences(store) == [("changed", "chain 0", ("answer",))]
        seal(store)
