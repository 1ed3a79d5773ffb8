"""Redaction takes the text and leaves the seals; proofs convince somebody who has neither our code nor our database."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, found_by, id_of, login, seal, task
from worker.errors import KeeperRefusedError, SealError
from worker.hashes.merkle import HASH_BYTES
from worker.seals.forms import redacted_spec
from worker.seals.proving import prove
from worker.seals.redacting import ALL_PARTS, redact
from worker.stages.desk import Desk
from worker.store.filters import Filters
from worker.store.finding import find
from worker.store.story import load_story
from worker.store.texts import REDACTED
from worker.store.transactions import Store
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.services

CHECKER = Path(__file__).parents[2] / "examples" / "check_proof.py"
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"


def dump(store: Store) -> str:
    """Return everything in the database as one text."""
    return "".join(
        row[0]
        for (table,) in query(store, TABLES)
        for row in query(store, f"SELECT to_jsonb(t)::text FROM {table} t")
    )


def take_out(store: Store, name: str, *parts: str) -> dict[str, int]:
    chosen = parts or ALL_PARTS
    return redact(store, id_of(store, name), tenant="default", parts=chosen, who="me", why="asked for")


def test_all_text_goes_and_everything_still_verifies(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    assert "Anna" in dump(store)
    assert take_out(store, "a") == {"prompt": 1, "chains": 2, "evidence": 1, "answers": 4}
    assert "Anna" not in dump(store)
    entries = [
        row["task_id"] for row in find(store, Filters(answer=[REDACTED]), tenant="default", limit=9).rows
    ]
    assert entries == [id_of(store, "a")]  # by its answer it is found no more
    found, _ = found_by(store)
    assert {one.what.value for one in found} == {"redacted"}
    assert len({one.row for one in found}) == 6
    seal(store)  # the redaction itself is sealed
    assert query(store, "SELECT kind FROM seal_entries WHERE seal_number = 2") == [("redaction",)]
    assert differences(store) == []
    story = load_story(store, id_of(store, "a"))  # still a story that can be shown
    assert story.decisions[0]["document"]["clusters"][0]["answer"] == REDACTED
    assert TaskLine.model_validate(story.task["spec"]).prompt == REDACTED


def test_a_text_that_went_cannot_be_guessed_from_what_is_left(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    seal(store)
    take_out(store, "a")
    kept = query(store, "SELECT seed, kept FROM seal_salts WHERE task_id = :id", id=id_of(store, "a"))
    assert kept == [(None, {})]
    other = query(store, "SELECT seed FROM seal_salts WHERE task_id = :id", id=id_of(store, "b"))
    assert len(other[0][0]) == HASH_BYTES


def test_parts_go_one_by_one_and_the_rest_stays_under_seal(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    assert take_out(store, "a", "chains") == {"chains": 2}
    assert differences(store) == []
    assert "How old is Anna" in dump(store)
    attack(store, "verdicts", "UPDATE verdicts SET reason = 'other'")
    assert differences(store) == [("changed", "verdict math 1 answer:0:abc", ("evidence",))]
    attack(store, "verdicts", "UPDATE verdicts SET reason = 'Anna is 4'")
    take_out(store, "a", "prompt", "evidence", "answers")
    assert "Anna" not in dump(store)
    assert differences(store) == []


def test_what_stands_in_place_of_a_text_is_under_seal_too(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    take_out(store, "a")
    attack(store, "chains", "UPDATE chains SET text = 'Anna is 7' WHERE index = 0")
    assert differences(store) == [("changed", "chain 0", ("text",))]


def test_a_label_that_comes_after_a_redaction_is_sealed_with_salts_of_its_own(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    take_out(store, "a")
    query(
        store,
        "INSERT INTO labels (id, task_id, answers, source) SELECT gen_random_uuid(), id, '[\"Anna\"]', 'late' "
        "FROM tasks RETURNING 1",
    )
    seal(store)
    assert differences(store) == []
    attack(store, "labels", "UPDATE labels SET answers = '[\"Berta\"]' WHERE source = 'late'")
    assert [(what, groups) for what, _, groups in differences(store)] == [("changed", ("answers",))]
    attack(store, "labels", "UPDATE labels SET answers = '[\"Anna\"]' WHERE source = 'late'")
    take_out(store, "a", "answers")
    assert "Anna" not in dump(store)
    assert differences(store) == []


def test_only_what_is_sealed_and_sound_is_redacted(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    with pytest.raises(SealError, match="in no seal"):
        take_out(store, "a")
    seal(store)
    attack(store, "chains", "UPDATE chains SET text = 'x' WHERE index = 0")
    with pytest.raises(SealError, match=r"differs from its seals \(chain 0\)"):
        take_out(store, "a")
    assert query(store, "SELECT count(*) FROM redactions") == [(0,)]


def test_a_task_that_never_was_decided_is_redacted_without_seals(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    query(
        store, 'UPDATE tasks SET state = \'failed\', error = \'{"type": "E", "message": "Anna"}\' RETURNING 1'
    )
    query(
        store,
        "INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt) "
        "SELECT id, 'generating', 'failed', 'w', 'the endpoint said: Anna', 1 FROM tasks RETURNING 1",
    )
    seal(store)
    take_out(store, "a", "prompt")
    assert query(store, "SELECT error FROM tasks") == [({"type": "E", "message": REDACTED},)]
    assert query(store, "SELECT why FROM task_events WHERE to_state = 'failed'") == [(REDACTED,)]
    assert query(store, "SELECT count(*) FROM task_events WHERE why = 'submitted'") == [(1,)]


def test_whoever_may_not_be_keeper_is_told_so(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    plain = login(store, "seals_plain_worker")
    with pytest.raises(KeeperRefusedError, match="GRANT mergereasoner_keeper"):
        take_out(plain, "a")
    plain.dispose()


@pytest.mark.parametrize(
    "more",
    [
        {
            "verify": [
                {
                    "verifier": "code",
                    "tests": "assert Anna()",
                    "files": {"a.py": "Anna"},
                    "known_good": "Anna",
                }
            ]
        },
        {"verify": [{"verifier": "math", "conditions": ["Anna = 1"], "unknowns": ["Anna"]}]},
        {"verify": [{"verifier": "math", "reference": "Anna"}]},
        {"verify": [{"verifier": "entailment", "premise": "Anna", "hypothesis": "Anna is {answer}"}]},
        {
            "verify": [
                {
                    "verifier": "facts",
                    "statement": "Anna {answer}",
                    "documents": [{"id": "Anna", "text": "Anna"}],
                }
            ]
        },
        {"candidates": ["Anna", "b"], "chains": None},
        {"prompt": None, "messages": [{"role": "user", "content": "Anna"}]},
    ],
)
def test_a_redacted_task_line_still_is_one_and_says_nothing(more: dict[str, Any]) -> None:
    line = TaskLine.model_validate({**task("a"), **more})
    spec = json.loads(line.model_dump_json(by_alias=True, exclude={"label"}))
    assert "Anna" in json.dumps(spec)
    left = redacted_spec(spec)
    assert "Anna" not in json.dumps(left)
    assert TaskLine.model_validate(left).options == line.options
    assert redacted_spec(left) == left  # by which a verification knows it


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I: neither our modules nor those of the environment's variables.
    command = [sys.executable, "-I", str(CHECKER), str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)


def test_a_stranger_believes_a_proof_and_no_proof_with_another_byte(desk: Desk, tmp_path: Path) -> None:
    store = desk.store
    decided(desk, "a", "b", "c", "d", "e")
    seal(store)
    decided(desk, "f")
    (last,) = seal(store)
    path = tmp_path / "proof.json"
    proof = prove(store, id_of(store, "c"))
    path.write_text(json.dumps(proof))
    right = check(path, last.hash.hex())
    assert (right.returncode, proof["decision"] in right.stdout) == (0, True)
    assert check(path, "00" * 32).returncode == 1
    assert "Anna is 4" in path.read_text()
    choice, content = random.Random(8), path.read_text()
    for _ in range(40):
        i = choice.randrange(len(content))
        if content[i] in " \n":
            continue  # between tokens a blank says nothing
        path.write_text(content[:i] + chr(ord(content[i]) ^ 1) + content[i + 1 :])
        assert check(path, last.hash.hex()).returncode == 1, content[max(0, i - 20) : i + 20]


def test_a_proof_that_shows_other_texts_beside_the_right_hashes_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    store = desk.store
    decided(desk, "a")
    (made,) = seal(store)
    path = tmp_path / "proof.json"
    right, hidden = prove(store, id_of(store, "a")), prove(store, id_of(store, "a"), with_texts=False)
    digests = {row["name"]: row for row in hidden["rows"]}
    for row in right["rows"]:
        shown, salted = row["groups"][-1], digests[row["name"]]["groups"][-1]["salted"]
        before = dict(shown)
        shown |= {"text": '"a lie"', "salted": salted}
        path.write_text(json.dumps(right))
        assert check(path, made.hash.hex()).returncode == 1, row["name"]
        shown.clear()
        shown |= before
    ((leaves,),) = query(store, "SELECT leaves FROM seal_entries WHERE kind = 'decision'")
    row = next(one for one in right["rows"] if one["name"].startswith("decision"))
    leaf = leaves[HASH_BYTES : 2 * HASH_BYTES].hex()
    for forged in ({"leaf": leaf}, {"leaf": leaf, "groups": [{"text": '"a lie"'}] * 3}):
        kept = dict(row)
        row.clear()
        row |= {"name": kept["name"], **forged}
        path.write_text(json.dumps(right))
        assert check(path, made.hash.hex()).returncode == 1
        row.clear()
        row |= kept
    path.write_text(json.dumps(right))
    assert check(path, made.hash.hex()).returncode == 0


def test_a_proof_can_be_given_without_the_texts_and_after_they_are_gone(desk: Desk, tmp_path: Path) -> None:
    store = desk.store
    decided(desk, "a")
    (made,) = seal(store)
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(prove(store, id_of(store, "a"), with_texts=False)))
    assert "Anna" not in path.read_text()
    assert check(path, made.hash.hex()).returncode == 0
    take_out(store, "a")
    path.write_text(json.dumps(prove(store, id_of(store, "a"))))
    assert check(path, made.hash.hex()).returncode == 0
    attack(store, "decisions", "UPDATE decisions SET confidence = 0")
    with pytest.raises(SealError, match="differs"):
        prove(store, id_of(store, "a"))


def test_what_is_not_sealed_has_no_proof(desk: Desk) -> None:
    decided(desk, "a")
    with pytest.raises(SealError, match="sealed yet"):
        prove(desk.store, id_of(desk.store, "a"))
