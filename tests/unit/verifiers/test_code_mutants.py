"""Mutants are Python, differ from their program and from each other, and are the same every time."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.mutants import MAX_MUTANTS, mutants
from verifiers.code.proof import Proof, Proofs, Tried, prove

DATA = Path(__file__).parents[2] / "data" / "code" / "mbpp_excerpt.jsonl"
PROGRAMS = [json.loads(line)["code"] for line in DATA.read_text().splitlines()]
CLAIM = ProgramClaim(program="", tests="assert f(1)")
RIGHT = "def f(x):\n    return x + 1 if x < 3 else 7\n"


@pytest.mark.parametrize("program", PROGRAMS)
def test_mutants_are_other_programs(program: str) -> None:
    found = [mutant.program for mutant in mutants(program)]
    assert 0 < len(found) <= MAX_MUTANTS
    assert len({ast.dump(ast.parse(text)) for text in [program, *found]}) == len(found) + 1
    assert found == [mutant.program for mutant in mutants(program)]


def test_every_kind_of_mutant_is_made() -> None:
    found = {mutant.kind: mutant.program for mutant in reversed(mutants(RIGHT))}
    assert set(found) == {"value", "off by one", "comparison", "constant"}
    assert (
        "x + 2 if x < 3" in found["off by one"]
        or "x < 4" in found["off by one"]
        or "8" in found["off by one"]
    )
    assert "x <= 3" in found["comparison"]
    assert "return None" in found["constant"]


def test_the_guard_of_a_main_is_left_alone_and_future_imports_stay_first() -> None:
    program = '"""Text."""\nfrom __future__ import annotations\nx = 1\nif __name__ == "__main__": print(x)'
    for mutant in mutants(program):
        compile(mutant.program, "mutant", "exec")
        assert "__name__ == '__main__'" in mutant.program


def test_what_is_not_python_has_no_mutants() -> None:
    assert mutants("def f(:") == []
    assert mutants("") == []


def _attempt(*, kills: int, right: Outcome = Outcome.CONFIRMED) -> list[Tried]:
    n = len(mutants(RIGHT))
    outcomes = [right] + [Outcome.REFUTED] * kills + [Outcome.CONFIRMED] * (n - kills)
    return [Tried(outcome, "why", 0.1) for outcome in outcomes]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_tests_are_proved_when_most_mutants_fail_them(share: float) -> None:
    n = len(mutants(RIGHT))
    answers = iter(_attempt(kills=int(share * n)))
    proof = prove(CLAIM, RIGHT, timeout_s=5, attempt=lambda *_: next(answers))
    assert (proof.problem is None) == (share == 1.0)
    if share == 1.0:
        assert str(proof) == f"proved ({n} of {n} mutants killed)"


def test_tests_that_a_right_program_fails_are_not_tried_further() -> None:
    answers = iter(_attempt(kills=0, right=Outcome.REFUTED)[:1])
    proof = prove(CLAIM, RIGHT, timeout_s=5, attempt=lambda *_: next(answers))
    assert "does not pass them: why" in str(proof)


def test_a_program_without_mutants_proves_nothing() -> None:
    proof = prove(CLAIM, "f = abs", timeout_s=5, attempt=lambda *_: Tried(Outcome.CONFIRMED, "", 0.1))
    assert "no mutant" in str(proof)


def test_a_proof_is_made_once_for_all_candidates_of_a_task() -> None:
    proofs = Proofs()
    made: list[str] = []

    def get(program: str, tests: str) -> None:
        def make() -> Proof:
            made.append(tests)
            return Proof(None, 1, 1)

        proofs.get(ProgramClaim(program=program, tests=tests, known_good="g"), 1.0, make)

    for program, tests in (("one", "t"), ("two", "t"), ("one", "u"), ("two", "u")):
        get(program, tests)
    assert made == ["t", "u"]
