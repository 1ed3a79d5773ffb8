"""A candidate calibration: what it chooses, and every guard seen to fire."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.candidate import Candidate, fit_candidate
from reasoner.decisions import Thresholds
from reasoner.drift import drift_tests, exchangeability
from reasoner.errors import InvalidRuleError
from reasoner.guards import Policy
from reasoner.labelled_decision import LabelledDecision
from reasoner.labelled_table import Flags, Floats, LabelledTable
from reasoner.performance import perform
from reasoner.reliability import calibration_error, over_time, reliability

POLICY = Policy(alpha=0.8, target_risk=0.2)
SEED = Thresholds()


def draw(rng: random.Random, *, accuracy: float = 0.85, missing: float = 0.05) -> LabelledDecision:
    """Two answers; the more confident, the more often right."""
    top = 0.5 + rng.random() / 2
    right = rng.random() < (top - 0.75) * 0.4 + accuracy
    truth = None if not right and rng.random() < missing / (1 - accuracy) else int(not right)
    return LabelledDecision(
        posterior=(top, 1 - top), truth=truth, confidence=top, margin=round(top * 8) / 8, right=right
    )


def decisions(n: int = 600, seed: int = 0, **values: float) -> list[LabelledDecision]:
    rng = random.Random(seed)
    return [draw(rng, **values) for _ in range(n)]


def candidate(
    found: list[LabelledDecision], policy: Policy = POLICY, active: Thresholds = SEED, *, fitted: bool = False
) -> Candidate:
    return fit_candidate(found, policy, active=active, active_was_fitted=fitted)


def guards(found: Candidate) -> set[str]:
    return {alarm.guard for alarm in found.alarms}


def test_good_labels_raise_no_alarm() -> None:
    found = candidate(decisions())
    assert found.alarms == []
    assert found.fit is not None
    assert found.fit.certified is not None
    assert found.fit.certified.risk_bound <= POLICY.target_risk
    assert found.thresholds.lambda_ <= found.thresholds.tau_conf
    assert found.thresholds.tau_score == SEED.tau_score
    assert (found.n_fit, found.n_held_out) == (450, 150)
    assert found.fit.after.coverage is not None
    assert found.fit.after.coverage > 0.7


def test_the_same_labels_give_the_same_candidate() -> None:
    assert candidate(decisions()) == candidate(decisions())


def test_too_few_labels_are_told_how_many_are_needed() -> None:
    found = candidate(decisions(20))
    assert guards(found) == {"too_few_labels"}
    assert found.thresholds == SEED
    assert str(POLICY.window_labels) in found.why
    assert "too_few_labels" in guards(candidate([]))


def test_as_many_labels_as_are_needed_are_enough() -> None:
    rows = [replace(d, right=True, truth=0) for d in decisions(POLICY.window_labels)]
    rows[0] = replace(rows[0], right=False, truth=1)  # not all of one kind
    assert "too_few_labels" not in guards(candidate(rows))
    assert "too_few_labels" in guards(candidate(rows[1:]))


@pytest.mark.parametrize("right", [True, False])
def test_labels_of_one_kind_are_refused(*, right: bool) -> None:
    rows = [replace(d, right=right, truth=0 if right else None) for d in decisions()]
    assert guards(candidate(rows)) == {"one_class"}


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused(broken: float) -> None:
    rows = decisions()
    rows[3] = replace(rows[3], confidence=broken)
    assert guards(candidate(rows)) == {"not_finite"}


def test_a_truth_that_is_often_missing_is_a_ceiling_with_the_alpha_that_can_be_reached() -> None:
    found = candidate(decisions(accuracy=0.7, missing=0.3), replace(POLICY, alpha=0.9, target_risk=0.45))
    assert "ceiling" in guards(found)
    assert found.fit is not None
    told = next(alarm.told for alarm in found.alarms if alarm.guard == "ceiling")
    reachable = float(told.split("alpha ")[1].split()[0])
    assert reachable == pytest.approx(found.fit.ceiling, abs=0.01)
    again = candidate(
        decisions(accuracy=0.7, missing=0.3), replace(POLICY, alpha=reachable, target_risk=0.45)
    )
    assert "ceiling" not in guards(again)


def test_a_risk_that_no_threshold_reaches_is_told() -> None:
    found = candidate(decisions(accuracy=0.5, missing=0.0), replace(POLICY, target_risk=0.05))
    assert "risk" in guards(found)
    assert (found.thresholds.tau_margin, found.thresholds.tau_conf) == (SEED.tau_margin, SEED.tau_conf)


def test_a_window_whose_halves_differ_is_drift() -> None:
    rows = decisions(300) + decisions(300, seed=1, accuracy=0.6)
    found = candidate(rows)
    assert "drift" in guards(found)
    assert "errors" in found.why


def test_exchangeable_halves_are_no_drift_in_all_but_few_windows() -> None:
    p_values = [exchangeability(drift_tests(decisions(200, seed=seed))) for seed in range(200)]
    assert sum(p < 0.05 for p in p_values) <= 0.05 * 200 + 3 * math.sqrt(0.05 * 0.95 * 200)


def test_a_held_out_part_that_contradicts_the_fit_is_told() -> None:
    rows = decisions(450) + decisions(150, seed=1, accuracy=0.4, missing=0.5)
    assert "held_out" in guards(candidate(rows))


def table_of(rng: np.random.Generator, n: int, *, accuracy: Callable[[Floats], Floats]) -> LabelledTable:
    """Two answers; how often the first is right depends on its posterior, and the second is right otherwise."""
    top = rng.uniform(0.5, 1.0, n)
    right = rng.random(n) < accuracy(top)
    return LabelledTable.from_columns(
        masses=np.column_stack([top, 1 - top]).ravel(),
        sizes=np.full(n, 2),
        truth=np.where(right, 0, 1),
        confidence=top,
        margin=np.ones(n),
        right=right,
        answerable=np.ones(n, dtype=np.bool_),
    )


def untold_of(table: LabelledTable, untold: Flags) -> LabelledTable:
    """Return what grading makes of tasks whose label says nothing of the answers."""
    return replace(table, of_truth=np.where(untold, 0.0, table.of_truth), right=table.right & ~untold)


def test_what_cannot_be_told_is_no_way_round_the_promised_risk() -> None:
    rng = np.random.default_rng(11)
    policy = Policy(alpha=0.7, target_risk=0.12)
    exceeded = optimistic = in_force = 0
    n, n_runs = 1500, 150
    for _ in range(n_runs):
        table = table_of(rng, n, accuracy=lambda top: 0.35 + 0.62 * top)  # 12 % err above 0.71
        untold = ~table.right & (rng.random(n) < 0.8)  # words in the place of a number are wrong
        seen = untold_of(table, untold)
        found = fit_candidate(seen, policy, active=SEED, active_was_fitted=False, told=~untold)
        left_out = fit_candidate(seen.chosen(~untold), policy, active=SEED, active_was_fitted=False)
        in_force += not found.alarms
        exceeded += not found.alarms and true_risk(found.thresholds) > policy.target_risk
        optimistic += not left_out.alarms and true_risk(left_out.thresholds) > policy.target_risk
    assert optimistic > 0.9 * n_runs  # which is what leaving them out came to
    assert in_force > 0.5 * n_runs
    assert exceeded <= policy.delta * n_runs


def true_risk(thresholds: Thresholds) -> float:
    """The error rate above tau_conf of the population of the test above."""
    low = max(thresholds.tau_conf, thresholds.lambda_, 0.5)
    return 1.0 - (0.35 + 0.62 * (1.0 + low) / 2)


def test_sets_cover_what_cannot_be_told() -> None:
    rng = np.random.default_rng(12)
    policy = Policy(alpha=0.8, target_risk=0.45)
    covered: list[float] = []
    optimistic: list[float] = []
    for _ in range(150):
        table = table_of(rng, 400, accuracy=lambda top: top)
        untold = ~table.right & (rng.random(400) < 0.3)
        seen, after = untold_of(table, untold), table_of(rng, 400, accuracy=lambda top: top)
        found = fit_candidate(seen, policy, active=SEED, active_was_fitted=False, told=~untold)
        left_out = fit_candidate(seen.chosen(~untold), policy, active=SEED, active_was_fitted=False)
        for one, of in ((found, covered), (left_out, optimistic)):
            assert one.fit is not None
            of.append(perform(after, Thresholds(lambda_=one.fit.conformal)).coverage or 0.0)
    error = np.std(covered) / math.sqrt(len(covered))
    assert np.mean(optimistic) < policy.alpha - 3 * error
    assert np.mean(covered) >= policy.alpha - 3 * error


def test_labels_that_tell_too_little_are_a_reason_of_their_own() -> None:
    rows = decisions()
    told = np.array([d.right or i % 4 == 0 for i, d in enumerate(rows)])
    seen = [d if known else replace(d, right=False, truth=None) for d, known in zip(rows, told, strict=True)]
    policy = replace(POLICY, target_risk=0.1, alpha=0.85)
    alone = candidate([d for d, known in zip(seen, told, strict=True) if known], policy)
    assert alone.alarms == []
    found = fit_candidate(seen, policy, active=SEED, active_was_fitted=False, told=told)
    assert guards(found) == {"unknown"}
    assert f"of {int((~told).sum())} of 600 labelled decisions" in found.why
    assert "correct: true or false" in found.why
    (first, *_) = found.alarms
    assert "risk" in first.told


def test_what_is_wrong_with_the_told_labels_alone_keeps_its_name() -> None:
    rows = decisions(accuracy=0.5, missing=0.0)
    told = np.arange(600) % 20 != 0
    seen = [d if known else replace(d, right=False, truth=None) for d, known in zip(rows, told, strict=True)]
    found = fit_candidate(
        seen, replace(POLICY, target_risk=0.05), active=SEED, active_was_fitted=False, told=told
    )
    assert "risk" in guards(found)


def test_only_labels_that_tell_count_as_enough_and_as_of_both_kinds() -> None:
    rows = [replace(d, right=True, truth=0) for d in decisions(100)]
    rows += [replace(d, right=False, truth=None) for d in decisions(60, seed=1)]
    told = np.arange(160) < 100
    found = fit_candidate(rows, POLICY, active=SEED, active_was_fitted=False, told=told)
    assert guards(found) == {"one_class"}
    strict = replace(POLICY, min_labels=90)
    found = fit_candidate(rows, strict, active=SEED, active_was_fitted=False, told=told)
    assert guards(found) == {"one_class", "too_few_labels"}
    assert "100 labelled decisions and 60 that can't be told" in found.why


def test_what_is_in_force_is_contradicted_without_hindering_what_takes_its_place() -> None:
    rng = np.random.default_rng(14)
    table = table_of(rng, 1600, accuracy=lambda top: 1.2 * top - 0.2)  # 15 % err above 0.75
    lax = Thresholds(lambda_=0.0, tau_margin=0.0, tau_conf=0.0)
    policy = Policy(alpha=0.6, target_risk=0.15, max_change=1.0)
    found = fit_candidate(table, policy, active=lax, active_was_fitted=True)
    assert found.alarms == []
    (against,) = found.contradicted
    assert "of the answers are wrong, above 0.15" in against.told
    first = fit_candidate(table, policy, active=lax, active_was_fitted=False)
    assert first.contradicted == []  # a first guess promised nothing
    assert fit_candidate(table, policy, active=found.thresholds, active_was_fitted=True).contradicted == []
    all_wrong = untold_of(table, np.ones(1600, dtype=np.bool_))
    found = fit_candidate(all_wrong, policy, active=lax, active_was_fitted=True)
    assert guards(found) == {"one_class"}
    assert len(found.contradicted) == 2  # though nothing could be fitted


def test_thresholds_that_keep_their_promise_are_seldom_contradicted() -> None:
    rng = np.random.default_rng(13)
    policy = Policy(alpha=0.5, target_risk=0.2, level=0.05)
    exact = Thresholds(lambda_=0.0, tau_margin=0.0, tau_conf=0.0)
    n_runs, n_alarms = 400, 0
    for _ in range(n_runs):
        table = table_of(rng, 200, accuracy=lambda top: np.full(len(top), 0.8))  # the target to a hair
        found = fit_candidate(table, policy, active=exact, active_was_fitted=True)
        n_alarms += bool(found.contradicted)
    assert 0 < n_alarms <= 0.05 * n_runs + 3 * math.sqrt(0.05 * 0.95 * n_runs)


def test_a_threshold_that_moves_far_from_a_fitted_one_is_held_back() -> None:
    far = Thresholds(lambda_=0.0, tau_margin=0.0, tau_conf=1.0)
    assert guards(candidate(decisions(), active=far, fitted=True)) == {"change"}
    assert candidate(decisions(), active=far).alarms == []  # a first guess binds nobody
    lax = replace(POLICY, max_change=1.0)
    assert candidate(decisions(), lax, active=far, fitted=True).alarms == []


def test_ties_everywhere_leave_one_step() -> None:
    rng = random.Random(3)
    rows = [replace(draw(rng), posterior=(0.75, 0.25), confidence=0.75, margin=0.75) for _ in range(600)]
    found = candidate(rows, replace(POLICY, target_risk=0.3))
    assert found.alarms == []
    assert found.fit is not None
    assert found.fit.certified is not None
    assert found.fit.certified.answered_share == 1.0
    assert found.thresholds.lambda_ in {0.25, 0.7, 0.75}


def test_the_papers_lambda_can_be_asked_for() -> None:
    found = candidate(decisions(), replace(POLICY, conformal=False))
    assert found.fit is not None
    assert found.fit.empirical is not None
    assert found.thresholds.lambda_ == min(found.fit.empirical.lambda_, found.thresholds.tau_conf)


@given(st.integers(0, 200), st.integers(0, 5))
def test_every_number_of_labels_gives_a_candidate(n: int, seed: int) -> None:
    found = candidate(decisions(n, seed=seed))
    assert found.n_fit + found.n_held_out == n
    assert bool(found.why) == bool(found.alarms)


@given(st.integers(1, 60))
def test_spans_and_bins_hold_every_task_once(n: int) -> None:
    rows = decisions(n)
    assert sum(span.n_tasks for span in over_time(rows, SEED)) == n
    assert sum(one.n for one in reliability(rows)) == n
    assert 0.0 <= calibration_error(reliability(rows)) <= 1.0
    whole = perform(rows, SEED)
    assert sum(span.n_errors for span in over_time(rows, SEED)) == whole.n_errors


def test_a_confidence_of_one_has_a_bin() -> None:
    (one,) = reliability([replace(draw(random.Random(0)), confidence=1.0)])
    assert (one.low, one.high, one.n) == (0.9, 1.0, 1)
    assert calibration_error([]) == 0.0


def test_nothing_measured_has_no_shares() -> None:
    nothing = perform([], SEED).to_json()
    assert nothing["coverage"] is None
    assert nothing["selective_risk"] is None
    assert over_time([], SEED) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 1.0},
        {"delta": 0.0},
        {"level": math.nan},
        {"max_change": 0.0},
        {"min_labels": 0},
        {"rules": 3},
    ],
)
def test_an_impossible_policy_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidRuleError):
        replace(POLICY, **wrong)  # type: ignore[arg-type]


def test_a_truth_that_is_no_cluster_is_refused() -> None:
    with pytest.raises(InvalidRuleError):
        LabelledDecision(posterior=(1.0,), truth=1, confidence=1.0, margin=1.0, right=False)
