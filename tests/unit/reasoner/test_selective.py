"""Selective-risk control: exact bounds and the order of tests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.errors import InvalidRuleError
from reasoner.labelled_decision import LabelledDecision
from reasoner.selective import N_STARTS, binomial_upper, certify, labels_needed, least_abstaining


def decision(
    confidence: float, *, right: bool, margin: float | None = None, answerable: bool = True
) -> LabelledDecision:
    return LabelledDecision(
        posterior=(confidence,),
        truth=0 if right else None,
        confidence=confidence,
        margin=confidence if margin is None else margin,
        right=right,
        answerable=answerable,
    )


decisions_st = st.lists(
    st.builds(
        decision,
        st.sampled_from([0.125 * i for i in range(9)]),
        right=st.booleans(),
        margin=st.sampled_from([0.25, 0.5, 1.0]),
        answerable=st.booleans(),
    ),
    max_size=120,
)


def test_the_upper_bound_worked_by_hand() -> None:
    # No error in n: (1 - p)^n = level.
    assert binomial_upper(0, 10, level=0.05) == pytest.approx(1 - 0.05**0.1)
    assert binomial_upper(10, 10, level=0.05) == 1.0
    assert binomial_upper(0, 0, level=0.05) == 1.0
    with pytest.raises(InvalidRuleError):
        binomial_upper(3, 2, level=0.05)


@pytest.mark.parametrize(("target", "delta"), [(0.1, 0.1), (0.05, 0.1), (0.2, 0.05)])
def test_as_many_clean_labels_as_are_said_to_be_needed_are_enough_and_one_fewer_is_not(
    target: float, delta: float
) -> None:
    n = labels_needed(target_risk=target, delta=delta)
    assert certify([decision(1.0, right=True)] * n, target_risk=target, delta=delta)
    assert not certify([decision(1.0, right=True)] * (n - 1), target_risk=target, delta=delta)
    assert (1 - target) ** n <= delta / N_STARTS < (1 - target) ** (n - 1)


@given(decisions_st, st.sampled_from([0.2, 0.5]))
def test_a_certified_pair_has_a_bound_below_the_target(
    decisions: list[LabelledDecision], target: float
) -> None:
    for pair in certify(decisions, target_risk=target, delta=0.2):
        answered = [
            d
            for d in decisions
            if d.answerable and d.margin >= pair.tau_margin and d.confidence >= pair.tau_conf
        ]
        assert (pair.n_answered, pair.n_errors) == (len(answered), sum(not d.right for d in answered))
        assert pair.risk <= pair.risk_bound <= target + 1e-9
        assert pair.level <= 0.2


@given(decisions_st)
def test_a_higher_target_never_certifies_less(decisions: list[LabelledDecision]) -> None:
    strict, lax = (
        {(p.tau_margin, p.tau_conf) for p in certify(decisions, target_risk=r, delta=0.2)} for r in (0.2, 0.4)
    )
    assert strict <= lax


@given(decisions_st, st.randoms(use_true_random=False))
def test_the_order_of_the_labels_does_not_matter(decisions: list[LabelledDecision], rng: object) -> None:
    shuffled = list(decisions)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert certify(decisions, target_risk=0.3, delta=0.2) == certify(shuffled, target_risk=0.3, delta=0.2)


def test_errors_only_below_a_confidence_are_abstained_from() -> None:
    sure = [decision(0.9, right=True)] * 200
    unsure = [decision(0.5, right=i % 2 == 0) for i in range(100)]
    best = least_abstaining(certify(sure + unsure, target_risk=0.1, delta=0.1), lambda_=0.0)
    assert best is not None
    assert (best.n_answered, best.n_errors) == (200, 0)
    assert 0.5 < best.tau_conf <= 0.9 or best.tau_margin > 0.5


def test_what_can_never_be_answered_does_not_count() -> None:
    found = certify([decision(0.9, right=True, answerable=False)] * 500, target_risk=0.1, delta=0.1)
    assert found == []


def test_a_pair_above_lambda_is_preferred_to_one_that_seems_to_answer_more() -> None:
    found = certify([decision(i / 100, right=True) for i in range(100)] * 4, target_risk=0.1, delta=0.1)
    low, high = least_abstaining(found, lambda_=0.0), least_abstaining(found, lambda_=0.4)
    assert low is not None
    assert high is not None
    assert low.tau_conf < 0.4 <= high.tau_conf


@pytest.mark.parametrize("wrong", [0.0, 1.0, math.nan])
def test_an_impossible_target_is_refused(wrong: float) -> None:
    with pytest.raises(InvalidRuleError):
        certify([], target_risk=wrong, delta=0.1)
