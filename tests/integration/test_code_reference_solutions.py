"""Real tasks with their own tests: right programs are confirmed, broken ones refuted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.behaviour import entry_point_of
from verifiers.code.verifier import CodeVerifier
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

DATA = Path(__file__).parents[1] / "data" / "code"
BREAK = """
def _broken(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, (str, list, tuple)):
        return value + type(value)("x")
    return None
def _breaking(function):
    return lambda *args, **kwargs: _broken(function(*args, **kwargs))
"""


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def _claims() -> dict[str, ProgramClaim]:
    claims = {
        row["task_id"]: ProgramClaim(
            program=row["prompt"] + row["canonical_solution"],
            tests=row["test"],
            entry_point=row["entry_point"],
        )
        for row in _rows("humaneval_excerpt.jsonl")
    }
    for row in _rows("mbpp_excerpt.jsonl"):
        tests = "\n".join([row["test_setup_code"], *row["test_list"]])
        claims[f"MBPP/{row['task_id']}"] = ProgramClaim(program=row["code"], tests=tests)
    return claims


CLAIMS = _claims()


def _broken(claim: ProgramClaim) -> ProgramClaim:
    name = claim.entry_point or entry_point_of(claim.tests)
    program = f"{claim.program}\n{BREAK}\n{name} = _breaking({name})\n"
    return ProgramClaim(program=program, tests=claim.tests, entry_point=claim.entry_point)


@pytest.fixture(scope="module")
def verifier(needs_sandbox: None) -> CodeVerifier:
    return CodeVerifier()


@pytest.fixture(scope="module")
def right(verifier: CodeVerifier) -> dict[str, Verdict]:
    # As much CPU time as a slow machine may need: none of them is endless.
    return dict(zip(CLAIMS, verifier.verify_many(list(CLAIMS.values()), timeout_s=60), strict=True))


@pytest.fixture(scope="module")
def wrong(verifier: CodeVerifier) -> dict[str, Verdict]:
    broken = [_broken(claim) for claim in CLAIMS.values()]
    return dict(zip(CLAIMS, verifier.verify_many(broken, timeout_s=10), strict=True))


@pytest.mark.parametrize("task", CLAIMS)
def test_the_reference_solution_is_confirmed(right: dict[str, Verdict], task: str) -> None:
    assert right[task].outcome is Outcome.CONFIRMED, right[task].reason


@pytest.mark.parametrize("task", CLAIMS)
def test_the_solution_with_its_results_changed_is_refuted(wrong: dict[str, Verdict], task: str) -> None:
    assert wrong[task].outcome is Outcome.REFUTED, wrong[task].reason


def test_a_broken_solution_behaves_otherwise_on_the_same_inputs(
    right: dict[str, Verdict], wrong: dict[str, Verdict]
) -> None:
    compared = 0
    for task, verdict in right.items():
        if "behaviour" not in verdict.evidence or "behaviour" not in wrong[task].evidence:
            continue
        one, other = verdict.evidence["behaviour"], wrong[task].evidence["behaviour"]
        assert one["inputs"] == other["inputs"]
        assert one["outputs"] != other["outputs"]
        compared += 1
    assert compared > len(CLAIMS) / 2


def test_verdicts_are_json(right: dict[str, Verdict], wrong: dict[str, Verdict]) -> None:
    for verdict in [*right.values(), *wrong.values()]:
        assert len(json.dumps(verdict.evidence)) < 100_000
