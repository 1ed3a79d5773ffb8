"""What a proof shows is all there is, or the checker says that it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bench import query
from tests.integration.sealed import decided, id_of, seal
from tests.integration.test_seals_told import FINISHED, PRUNED, PRUNING, as_keeper
from worker.hashes.leaves import split
from worker.hashes.merkle import node_hash
from worker.seals.proving import prove
from worker.stages.desk import Desk

pytestmark = pytest.mark.services

CHECKER = Path(__file__).parents[2] / "examples" / "check_proof.py"
MOST_LINES = 50
IN_PART = 2

REFUTED = """
INSERT INTO verdicts SELECT (jsonb_populate_record(v, jsonb_build_object('verifier', name, 'outcome', 'refuted'))).*
FROM verdicts v, unnest(ARRAY['code', 'entailment', 'facts']) name RETURNING 1
"""


def check(path: Path, proof: dict[str, Any], rows: list[Any], anchor: bytes) -> tuple[int, str]:
    """Return the exit code of the checker and what it says of a proof with these rows."""
    path.write_text(json.dumps({**proof, "rows": rows}))
    command = [sys.executable, "-I", str(CHECKER), str(path), anchor.hex()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_no_verdict_can_be_left_out_of_a_proof_that_is_called_true(desk: Desk, tmp_path: Path) -> None:
    store, path = desk.store, tmp_path / "proof.json"
    decided(desk, "a")
    query(store, REFUTED)
    decided(desk, "b", "c")
    (made,) = seal(store)
    proof = prove(store, id_of(store, "a"))
    ((leaves,),) = query(
        store,
        "SELECT leaves FROM seal_entries WHERE kind = 'decision' AND about_id = :id",
        id=id_of(store, "a"),
    )
    rows, kept = proof["rows"], split(leaves)
    assert [row["name"].split()[0] for row in rows] == ["task", "decision", *["chain"] * 2, *["verdict"] * 4]
    code, said = check(path, proof, rows, made.hash)
    assert (code, "true: decision" in said, "8 rows, 0 texts left out" in said) == (0, True, True)
    low, high = node_hash(kept[4], kept[5]), node_hash(kept[6], kept[7])
    hidden_outcome = [{"salted": "00" * 32}, *rows[5]["groups"][1:]]
    forged: list[list[Any]] = [
        [*rows[:4], {"name": "chain 2", "leaf": low.hex()}, {"name": "chain 3", "leaf": high.hex()}],
        [*rows[:4], {"name": "chain 2", "leaf": node_hash(low, high).hex()}],
        [*rows[:5], *({"name": f"chain {i}", "leaf": kept[i].hex()} for i in (5, 6, 7))],
        [
            *rows[:4],
            {"name": rows[4]["name"], "groups": rows[4]["groups"], "leaf": node_hash(low, high).hex()},
        ],
        [*rows[:5], {**rows[5], "groups": hidden_outcome}, *rows[6:]],
        rows[:5],
        rows[:4],
        [*rows, rows[0]],
        [*rows[:5], {"name": "chain 2", "groups": rows[5]["groups"]}, *rows[6:]],
    ]
    for one in forged:
        code, said = check(path, proof, one, made.hash)
        assert code != 0, said
        assert "true" not in said
    assert check(path, proof, forged[0], made.hash)[0] == IN_PART


def test_an_outcome_that_is_not_shown_is_told(desk: Desk, tmp_path: Path) -> None:
    """The right digest in place of a verdict's own text gives the right root, and hides what it says."""
    store, path = desk.store, tmp_path / "proof.json"
    decided(desk, "a")
    (made,) = seal(store)
    proof = prove(store, id_of(store, "a"), with_texts=False)
    assert check(path, proof, proof["rows"], made.hash)[0] == 0
    verdict = proof["rows"][-1]
    text = verdict["groups"][0]["text"]
    ((digest,),) = query(store, "SELECT encode(sha256(convert_to(:text, 'UTF8')), 'hex')", text=text)
    verdict["groups"][0] = {"salted": digest}
    code, said = check(path, proof, proof["rows"], made.hash)
    assert (code, said.startswith("IN PART: "), "4 rows" in said) == (IN_PART, True, True)


def test_of_pruned_rows_a_proof_tells_that_they_are_missing(desk: Desk, tmp_path: Path) -> None:
    store, path = desk.store, tmp_path / "proof.json"
    decided(desk, "a")
    (made,) = seal(store)
    as_keeper(
        store,
        PRUNING,
        PRUNED,
        "DELETE FROM chains WHERE task_id = :id",
        FINISHED,
        id=id_of(store, "a"),
        what="evidence",
    )
    proof = prove(store, id_of(store, "a"))
    code, said = check(path, proof, proof["rows"], made.hash)
    assert (code, "3 rows, 0 texts left out, and others not shown" in said) == (IN_PART, True)


def test_the_checker_stays_short_and_needs_nothing(tmp_path: Path) -> None:
    lines = CHECKER.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names
