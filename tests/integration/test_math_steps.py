"""The arithmetic of chains of thought, with the real child processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoner.outcomes import Outcome
from verifiers.claims import StepsClaim
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


def _verdict(verifier: MathVerifier, text: str) -> Verdict:
    return verifier.verify(StepsClaim(text=text), timeout_s=WALL_S)


def test_judged_texts_are_judged_so(verifier: MathVerifier) -> None:
    rows = [json.loads(line) for line in (DATA / "steps.jsonl").read_text().splitlines()]
    verdicts = verifier.verify_many([StepsClaim(text=row["text"]) for row in rows], timeout_s=WALL_S)
    wrong = [(r["text"], v.reason) for r, v in zip(rows, verdicts, strict=True) if v.outcome != r["says"]]
    assert wrong == []


def test_gold_solutions_are_not_refuted(verifier: MathVerifier) -> None:
    rows = [json.loads(line) for line in (DATA / "gsm8k_solutions.jsonl").read_text().splitlines()]
    verdicts = verifier.verify_many([StepsClaim(text=row["text"]) for row in rows], timeout_s=WALL_S)
    assert [v.reason for v in verdicts if v.outcome == Outcome.REFUTED] == []
    assert sum(v.outcome == Outcome.CONFIRMED for v in verdicts) >= 0.9 * len(rows)


def test_a_false_step_is_quoted_with_its_place_and_the_right_value(verifier: MathVerifier) -> None:
    text = "He has 3 boxes.\nSo 130,000*.15 = $<<130000*.15=19500.0>>195,000 in all.\nThen 1 + 1 = 2."
    verdict = _verdict(verifier, text)
    assert verdict.outcome == Outcome.REFUTED
    (quoted,) = verdict.evidence["false"]
    assert quoted["quote"] == "130,000*.15 = $<<130000*.15=19500.0>>195,000"
    assert text[quoted["at"] :].startswith(quoted["quote"])
    assert (quoted["line"], quoted["right_value"]) == (2, "19500")
    assert verdict.evidence["held"] == 2


def test_what_is_skipped_is_counted(verifier: MathVerifier) -> None:
    verdict = _verdict(verifier, "Let x = 3y + 1. Then 2x + 1 = 9. We know that 3 + 4 = 7.")
    assert verdict.outcome == Outcome.CONFIRMED
    assert verdict.evidence["held"] == 1
    assert sum(verdict.evidence["skipped"].values()) == 2


STORIES = [
    "She has {} apples.", "So the total is {}.", "Step 2: {}", "- {} dollars", "$${}$$", r"\[{}\]", "Thus **{}**.",
    "First, {}, then we go on.", "({})", "The first day he walked {} miles, because he was early.", "{}",
]  # fmt: skip
SIGNS = {"+": "+", "-": "-", "*": "*", "x": "*", "×": "*", r"\times": "*", r"\cdot": "*"}


@given(
    st.tuples(st.integers(0, 10**4), st.sampled_from(sorted(SIGNS)), st.integers(1, 10**3)),
    st.integers(-3, 3), st.sampled_from(STORIES), st.sampled_from([" = ", "=", " = $"]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_stated_result_is_judged_by_its_value(
    verifier: MathVerifier, sides: tuple[int, str, int], off: int, story: str, equals: str
) -> None:
    a, sign, b = sides
    value = {"+": a + b, "-": a - b, "*": a * b}[SIGNS[sign]]
    verdict = _verdict(verifier, story.format(f"{a} {sign} {b}{equals}{value + off}"))
    assert verdict.outcome == (Outcome.REFUTED if off else Outcome.CONFIRMED), verdict.reason


@given(st.fractions(-100, 100, max_denominator=97), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_quotient_may_be_rounded_to_the_digits_shown(
    verifier: MathVerifier, value: Fraction, places: int
) -> None:
    stated = f"So {value.numerator} / {value.denominator} = {float(value):.{places}f}."
    if value.numerator >= 0:
        assert _verdict(verifier, stated).outcome != Outcome.REFUTED
    wrong = (
        f"So {abs(value.numerator)} / {value.denominator} = {abs(float(value)) + 3 / 10**places:.{places}f}."
    )
    assert _verdict(verifier, wrong).outcome == Outcome.REFUTED


@given(st.text(alphabet="0123456789+-*/=()$ .,x%<>\\{}\n", max_size=80))
@settings(max_examples=150, deadline=None)
def test_noise_never_breaks_it(usual: MathVerifier, text: str) -> None:
    _verdict(usual, text)


HOSTILE = {
    "million equalities": "1+1=2\n" * 10**6,
    "million false equalities": "1+1=3\n" * 10**6,
    "as many as a chain holds": "1+1=2\n" * 33_000,
    "one long chain": "1=" * 100_000,
    "long numbers": ("9" * 900 + " * " + "9" * 900 + " = 3\n") * 100,
    "long digits": "1" * 199_000 + " = 2",
    "towers": "9**9**9**9 = 3\n" * 1_000,
    "factorials": "99999999! = 3 \n" * 1_000,
    "unclosed fractions": r"\frac{" * 30_000 + " = 3",
    "algebra": r"$\sqrt{\sqrt{2}+\sqrt{3}}+\sqrt[3]{5}=3.1$ " * 900,
    "open annotations": "<<" * 90_000,
    "code": "```" * 60_000,
    "signs": "-" * 100_000 + "1=1",
    "questions": "1 = ? " * 30_000,
    "python": "__import__('os').system('true') = 1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_chain_abstains(usual: MathVerifier, name: str) -> None:
    verdict = _verdict(usual, HOSTILE[name])
    assert verdict.outcome == Outcome.ABSTAINED, verdict.reason
    assert len(json.dumps(verdict.evidence)) < 60_000
