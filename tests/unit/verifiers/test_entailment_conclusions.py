"""From scores to outcomes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reasoner.outcomes import Outcome
from reasoner.relations import entailment_relation
from verifiers.entailment.calibration import Calibration
from verifiers.entailment.microbatches import Unread
from verifiers.entailment.verifier import conclude
from verifiers.nli import NliScores

LIMITS = Calibration(confirm=0.8, refute=0.7, apart=0.2, target_precision=0.9)


def scores(entailment: float, contradiction: float) -> NliScores:
    return NliScores(
        entailment=entailment, neutral=1.0 - entailment - contradiction, contradiction=contradiction
    )


SCORES = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(lambda t: scores(t[0], (1.0 - t[0]) * t[1]))


def outcome(*read: NliScores | Unread) -> Outcome:
    return conclude(read, LIMITS, same=len(read) > 1)[0]


def test_only_what_is_certain_enough_is_a_verdict() -> None:
    assert outcome(scores(0.8, 0.1)) is Outcome.CONFIRMED
    assert outcome(scores(0.1, 0.7)) is Outcome.REFUTED
    assert outcome(scores(0.79, 0.2)) is Outcome.ABSTAINED


def test_a_premise_that_says_nothing_of_it_does_not_refute() -> None:
    assert outcome(scores(0.01, 0.01)) is Outcome.ABSTAINED


@given(SCORES, SCORES)
def test_equivalence_is_the_relation_of_semantic_entropy(forth: NliScores, back: NliScores) -> None:
    def entails(left: str, _right: str) -> bool | None:
        one = forth if left == "a" else back
        if one.contradiction >= LIMITS.refute or one.entailment <= LIMITS.apart:
            return False
        return True if one.entailment >= LIMITS.confirm else None

    named = {True: Outcome.CONFIRMED, False: Outcome.REFUTED, None: Outcome.ABSTAINED}
    assert outcome(forth, back) is named[entailment_relation(entails)("a", "b")]
    assert outcome(forth, back) is outcome(back, forth)


def test_a_direction_that_could_not_be_read_leaves_the_pair_open() -> None:
    found, reason = conclude([scores(0.99, 0.0), Unread("too long")], LIMITS, same=True)
    assert (found, reason) == (Outcome.ABSTAINED, "too long")


def test_the_reason_says_when_nothing_was_calibrated() -> None:
    assert "uncalibrated" in conclude([scores(0.99, 0.0)], Calibration(), same=False)[1]
    assert "uncalibrated" not in conclude([scores(0.99, 0.0)], LIMITS, same=False)[1]
