"""Answers put into conditions, with the real child processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoner.outcomes import Outcome
from verifiers.claims import SatisfiesClaim
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Verdict

DATA = Path(__file__).parents[1] / "data" / "math"
WALL_S = 30.0
CPU_S = 20.0  # a slow machine needs more of it; only what is endless takes all


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier(cpu_limit_s=CPU_S)
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def usual() -> Iterator[MathVerifier]:
    """With the usual limit of CPU time, for what is endless."""
    usual = MathVerifier()
    yield usual
    usual.close()


def _verdict(
    verifier: MathVerifier, answer: str, *conditions: str, unknowns: tuple[str, ...] = ()
) -> Verdict:
    claim = SatisfiesClaim(answer=answer, conditions=conditions, unknowns=unknowns)
    return verifier.verify(claim, timeout_s=WALL_S)


def test_judged_claims_are_judged_so(verifier: MathVerifier) -> None:
    rows = [json.loads(line) for line in (DATA / "satisfies.jsonl").read_text().splitlines()]
    claims = [
        SatisfiesClaim(answer=r["answer"], conditions=r["conditions"], unknowns=r["unknowns"]) for r in rows
    ]
    verdicts = verifier.verify_many(claims, timeout_s=WALL_S)
    wrong = [(r, v.reason) for r, v in zip(rows, verdicts, strict=True) if v.outcome != r["says"]]
    assert wrong == []


def test_the_first_false_condition_is_quoted_with_both_values(verifier: MathVerifier) -> None:
    verdict = _verdict(verifier, "3", "x > 0", "x^2 = 10", unknowns=("x",))
    assert verdict.reason == "'x^2 = 10' does not hold for x = 3 (9 and 10)"
    assert verdict.evidence["conditions"] == [
        {"condition": "x^2 = 10", "for": "x = 3", "outcome": "fails", "values": ["9", "10"]},
        {"condition": "x > 0", "for": "x = 3", "outcome": "holds", "values": ["3", "0"]},
    ]


def test_that_a_set_of_solutions_is_complete_is_not_claimed(verifier: MathVerifier) -> None:
    verdict = _verdict(verifier, "{2}", "x^2 = 4", unknowns=("x",))
    assert verdict.outcome == Outcome.CONFIRMED
    assert verdict.evidence["complete"].startswith("not claimed")


@given(st.fractions(-50, 50, max_denominator=20), st.fractions(-50, 50, max_denominator=20))
@settings(max_examples=60, deadline=None)
def test_a_linear_equation_holds_exactly_at_its_root(
    verifier: MathVerifier, root: Fraction, other: Fraction
) -> None:
    condition = f"7x - 3 = {7 * root - 3}"
    expected = Outcome.CONFIRMED if root == other else Outcome.REFUTED
    assert _verdict(verifier, str(other), condition, unknowns=("x",)).outcome == expected


@given(st.integers(-(10**6), 10**6), st.integers(1, 500))
@settings(max_examples=60, deadline=None)
def test_every_way_of_writing_a_divisibility_is_judged_alike(
    verifier: MathVerifier, n: int, divisor: int
) -> None:
    expected = Outcome.CONFIRMED if n % divisor == 0 else Outcome.REFUTED
    for condition in (
        f"{divisor} | n", rf"{divisor} \mid n", f"n is divisible by {divisor}", f"n is a multiple of {divisor}",
        rf"n \equiv 0 \pmod{{{divisor}}}", f"n mod {divisor} = 0", f"{divisor} divides n",
    ):  # fmt: skip
        assert _verdict(verifier, str(n), condition, unknowns=("n",)).outcome == expected, condition


@given(st.integers(-30, 30), st.integers(-30, 30), st.integers(-30, 30))
@settings(max_examples=60, deadline=None)
def test_inequalities_sets_and_intervals_agree(verifier: MathVerifier, n: int, low: int, high: int) -> None:
    expected = Outcome.CONFIRMED if low <= n < high else Outcome.REFUTED
    ways = [rf"{low} \le n < {high}", f"n >= {low} and n < {high}"]
    if low < high:
        ways.append(rf"n \in [{low}, {high})")
    for condition in ways:
        assert _verdict(verifier, str(n), condition, unknowns=("n",)).outcome == expected, condition


FRAGMENTS = [
    "n", "x", "=", "<", "|", "12", "3.5", "1,000", "(", ")", "{", "}", r"\frac{1}{2}", r"\sqrt{2}", "^", "+", "-",
    "%", "$", "is", "are", "divides", "divisible by", "prime", "even", "between", "and", "or", "mod", r"\pmod{5}",
    r"\equiv", r"\in", r"\mathbb{Z}", "gcd(", "not", "a positive", "less than", "!", r"\pm", "f(x)", ",", ";",
    "12:30", "two-digit", "remainder",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9), st.lists(st.sampled_from(FRAGMENTS), max_size=5))
@settings(max_examples=200, deadline=None)
def test_noise_never_breaks_it(usual: MathVerifier, condition: list[str], answer: list[str]) -> None:
    _verdict(usual, "5", " ".join(condition), unknowns=("n",))
    _verdict(usual, " ".join(answer), "n > 3", unknowns=("n",))


HOSTILE = {
    "tower": ("5", ["n = 9**9**9**9"]),
    "factorial": ("1000000", ["n! > 5"]),
    "brackets": ("5", ["(" * 2_000 + "n" + ")" * 2_000 + " = 5"]),
    "many solutions": (", ".join(map(str, range(101))), ["n > -1"]),
    "many clauses": ("5", [" or ".join(["n = 6"] * 700)]),
    "endless sentence": ("5", ["n is odd and " * 300]),
    "megabyte": ("5", ["1" * 10**6]),
    "megabyte of answer": ("1" * 10**6, ["n = 5"]),
    "python": ("5", ["__import__('os').system('true') = n"]),
    "exponentials": ("5", ["e^{e^{e^{e^{e^{n}}}}} = 2"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_claim_abstains(usual: MathVerifier, name: str) -> None:
    answer, conditions = HOSTILE[name]
    verdict = _verdict(usual, answer, *conditions, unknowns=("n",))
    assert verdict.outcome == Outcome.ABSTAINED, verdict.reason
    assert len(json.dumps(verdict.evidence)) < 60_000
