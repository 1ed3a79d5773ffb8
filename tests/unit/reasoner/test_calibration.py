"""Conformal and empirical lambda, risk-coverage curves."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.calibration import (
    LabelledPosterior,
    aurc,
    conformal_lambda,
    conformal_quantile,
    coverage_ceiling,
    empirical_lambda,
    lambda_curve,
    risk_coverage_curve,
    selective_accuracy,
)
from reasoner.errors import InsufficientCalibrationDataError, InvalidRuleError
from reasoner.sets import threshold_set

tasks_st = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=4).flatmap(
        lambda parts: st.one_of(st.none(), st.integers(0, len(parts) - 1)).map(
            lambda truth: LabelledPosterior(posterior=tuple(p / 16 for p in parts), truth=truth)
        )
    ),
    min_size=1,
    max_size=12,
)
alphas = st.sampled_from([0.1, 0.5, 0.8, 0.9, 0.95])


def test_the_conformal_quantile_worked_by_hand() -> None:
    scores = [float(i) for i in range(1, 10)]
    assert conformal_quantile(scores, alpha=0.9) == 9.0  # ceil(10 * 0.9) = 9, whatever floats make of it
    assert conformal_quantile(scores, alpha=0.5) == 5.0
    assert conformal_quantile(scores, alpha=0.91) == math.inf


@pytest.mark.parametrize("alpha", [0.5, 0.75, 0.8])
@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5), (1, 1, 1, 2, 2), (3, 3, 3, 3, 3)])
def test_conformal_coverage_holds_over_every_order_of_exchangeable_scores(
    values: tuple[int, ...], alpha: float
) -> None:
    covered = [new <= conformal_quantile(rest, alpha=alpha) for *rest, new in permutations(values)]
    assert Fraction(sum(covered), len(covered)) >= Fraction(alpha).limit_denominator(100)


@given(tasks_st, alphas)
def test_the_conformal_lambda_covers_what_it_was_fitted_on_unless_the_ceiling_forbids(
    tasks: list[LabelledPosterior], alpha: float
) -> None:
    lambda_ = conformal_lambda(tasks, alpha=alpha)
    covered = sum(t.of_truth > 0 and t.of_truth >= lambda_ for t in tasks) / len(tasks)
    assert covered >= min(alpha, coverage_ceiling(tasks)) - 1e-12


def test_too_few_labels_let_everything_in() -> None:
    sure = LabelledPosterior(posterior=(1.0,), truth=0)
    assert conformal_lambda([sure] * 8, alpha=0.9) == 0.0
    assert conformal_lambda([sure] * 9, alpha=0.9) == 1.0


def test_a_truth_that_is_often_missing_is_a_ceiling_no_lambda_lifts() -> None:
    tasks = [LabelledPosterior(posterior=(0.9,), truth=0 if i % 2 else None) for i in range(40)]
    assert coverage_ceiling(tasks) == 0.5
    assert conformal_lambda(tasks, alpha=0.9) == 0.0
    assert empirical_lambda(tasks, alpha=0.9) is None


def test_a_coverage_of_exactly_alpha_is_enough() -> None:
    tasks = [LabelledPosterior(posterior=(0.9,), truth=truth) for truth in (0, None)]
    found = empirical_lambda(tasks, alpha=0.5)
    assert found is not None
    assert (found.lambda_, found.coverage) == (0.9, 0.5)


def test_a_truth_of_zero_mass_is_missing() -> None:
    assert coverage_ceiling([LabelledPosterior(posterior=(1.0, 0.0), truth=1)]) == 0.0


@given(tasks_st)
def test_the_curve_is_what_threshold_sets_do(tasks: list[LabelledPosterior]) -> None:
    for point in lambda_curve(tasks):
        sets = [
            [i for i in threshold_set(t.posterior, lambda_=point.lambda_) if t.posterior[i] > 0]
            for t in tasks
        ]
        assert point.mean_size == pytest.approx(sum(map(len, sets)) / len(tasks))
        covered = sum(t.truth in chosen for t, chosen in zip(tasks, sets, strict=True))
        assert point.coverage == pytest.approx(covered / len(tasks))


@given(tasks_st, alphas)
def test_the_empirical_lambda_is_the_cheapest_that_covers(
    tasks: list[LabelledPosterior], alpha: float
) -> None:
    found = empirical_lambda(tasks, alpha=alpha)
    feasible = [p for p in lambda_curve(tasks) if p.coverage >= alpha]
    assert (found is None) == (not feasible)
    if found:
        assert found.risk(0.3) == min(p.risk(0.3) for p in feasible)


def test_a_cost_that_vanishes_with_lambda_would_always_choose_everything() -> None:
    # Why eq. 40 is read with a fixed cost.
    rng = random.Random(0)
    parts = [[rng.random() for _ in range(4)] for _ in range(50)]
    tasks = [LabelledPosterior(posterior=tuple(x / sum(p) for x in p), truth=rng.randrange(4)) for p in parts]
    assert min(lambda_curve(tasks), key=lambda point: point.risk(point.lambda_)).lambda_ == 0.0
    chosen = empirical_lambda(tasks, alpha=0.5)
    assert chosen is not None
    assert chosen.lambda_ > 0.0


def test_the_empirical_lambda_is_the_papers_when_posteriors_are_true_and_coverage_is_no_concern() -> None:
    # Theorem 3: with p = (.6, .4) true, cutting between .4 and .6 costs .4 + .3, keeping both .6.
    tasks = [LabelledPosterior(posterior=(0.6, 0.4), truth=int(i % 5 > 2)) for i in range(50)]
    best = empirical_lambda(tasks, alpha=0.1)
    assert best is not None
    assert (best.lambda_, best.mean_size) == (0.4, 2.0)


def test_the_risk_coverage_curve_worked_by_hand() -> None:
    points = risk_coverage_curve([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert [(p.confidence, p.answered_share, p.selective_risk) for p in points] == [
        (0.9, 0.25, 0.0),
        (0.8, 0.75, pytest.approx(1 / 3)),
        (0.1, 1.0, 0.5),
    ]
    # Mean of 0, (1/2)/2, 1/3, 2/4.
    assert aurc([0.9, 0.8, 0.8, 0.1], [True, False, True, False]) == pytest.approx((0.25 + 1 / 3 + 0.5) / 4)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_orders_of_ties(rows: list[tuple[float, bool]]) -> None:
    area = 0.0
    for order in permutations(range(len(rows))):
        ranked = sorted(order, key=lambda i: -rows[i][0])
        errors = 0
        for rank, i in enumerate(ranked, 1):
            errors += not rows[i][1]
            area += errors / rank / len(rows)
    mean = area / math.factorial(len(rows))
    assert aurc([c for c, _ in rows], [r for _, r in rows]) == pytest.approx(mean)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20),
    st.sampled_from([0.01, 0.5, 0.7, 0.9, 1.0]),
)
def test_shares_and_risks_never_leave_zero_to_one(rows: list[tuple[float, bool]], share: float) -> None:
    confidences, correct = [c for c, _ in rows], [r for _, r in rows]
    assert 0.0 <= aurc(confidences, correct) <= 1.0
    assert 0.0 <= selective_accuracy(confidences, correct, answered_share=share) <= 1.0
    assert all(0.0 <= p.selective_risk <= 1.0 for p in risk_coverage_curve(confidences, correct))
    assert selective_accuracy(confidences, correct, answered_share=1.0) == pytest.approx(
        sum(correct) / len(correct)
    )


def test_selective_accuracy_shares_a_tie_at_the_cut() -> None:
    confidences, correct = [0.9, 0.5, 0.5, 0.5], [True, True, False, False]
    assert selective_accuracy(confidences, correct, answered_share=0.5) == pytest.approx((1 + 1 / 3) / 2)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InsufficientCalibrationDataError):
        conformal_quantile([], alpha=0.9)
    with pytest.raises(InsufficientCalibrationDataError):
        coverage_ceiling([])
    with pytest.raises(InsufficientCalibrationDataError):
        lambda_curve([])
    with pytest.raises(InsufficientCalibrationDataError):
        aurc([], [])
    with pytest.raises(InvalidRuleError):
        conformal_quantile([1.0], alpha=1.0)
    with pytest.raises(InvalidRuleError):
        conformal_quantile([math.nan], alpha=0.5)
    with pytest.raises(InvalidRuleError):
        aurc([math.nan], [True])
    with pytest.raises(InvalidRuleError):
        aurc([0.5], [True, False])
    with pytest.raises(InvalidRuleError):
        selective_accuracy([0.5], [True], answered_share=0.0)
