"""Model weights and the fitted merge."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import approx_fprime, minimize

from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import LabelledAnswers, LabelledTask, _Design, fit_merge
from reasoner.model_weights import Record, fit_model_weights

records = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.integers(1, 300).flatmap(
        lambda n: st.integers(0, n).map(lambda right: Record(right=right, labelled=n))
    ),
    min_size=1,
)


def test_log_odds_worked_by_hand() -> None:
    # Without shrinkage, accuracies .8 and .6 have odds 4 and 1.5.
    weights = fit_model_weights(
        {"a": Record(right=80, labelled=100), "b": Record(right=60, labelled=100)}, prior_labels=0.0
    )
    assert weights["a"] / weights["b"] == pytest.approx(math.log(4) / math.log(1.5))
    assert sum(weights.values()) == pytest.approx(2.0)


@given(records, st.sampled_from([2.0, 10.0]))
def test_weights_are_positive_with_mean_one(of: dict[str, Record], n_rivals: float) -> None:
    weights = fit_model_weights(of, n_rivals=n_rivals)
    assert all(weight > 0 for weight in weights.values())
    assert sum(weights.values()) == pytest.approx(len(weights))


def test_few_labels_leave_the_weights_near_equal() -> None:
    few = fit_model_weights({"a": Record(right=3, labelled=4), "b": Record(right=2, labelled=4)})
    many = fit_model_weights({"a": Record(right=300, labelled=400), "b": Record(right=200, labelled=400)})
    assert few["a"] - few["b"] < many["a"] - many["b"]


def test_a_pool_no_better_than_chance_votes_equally() -> None:
    weights = fit_model_weights({"a": Record(right=1, labelled=100), "b": Record(right=9, labelled=100)})
    assert weights == {"a": 1.0, "b": 1.0}


def test_with_many_rivals_a_weak_model_still_has_something_to_say() -> None:
    weak = {"a": Record(right=90, labelled=100), "b": Record(right=30, labelled=100)}
    assert fit_model_weights(weak, n_rivals=20.0)["b"] > fit_model_weights(weak)["b"]


def test_weights_need_a_label() -> None:
    for none in ({}, {"a": Record(right=0, labelled=0)}):
        with pytest.raises(InsufficientCalibrationDataError):
            fit_model_weights(none)


def sampled(
    n: int, *, accuracies: dict[str, float], copycat: bool = False, seed: int = 0
) -> list[LabelledTask]:
    """Tasks with three wrong answers; model ``copy``, if any, always says what model ``a`` says."""
    rng = random.Random(seed)
    tasks = []
    for _ in range(n):
        said = {m: 0 if rng.random() < p else rng.randint(1, 3) for m, p in accuracies.items()}
        if copycat:
            said["copy"] = said["a"]
        answers = sorted(set(said.values()))
        tasks.append(
            LabelledTask(
                supports=tuple({m: 1.0 for m, x in said.items() if x == answer} for answer in answers),
                right=answers.index(0) if 0 in answers else None,
            )
        )
    return tasks


def test_better_models_get_higher_weights() -> None:
    fitted = fit_merge(sampled(600, accuracies={"a": 0.8, "b": 0.6, "c": 0.3}))
    assert fitted.weights["a"] > fitted.weights["b"] > fitted.weights["c"]


def test_a_copycat_adds_less_than_a_second_voter() -> None:
    fitted = fit_merge(sampled(600, accuracies={"a": 0.6, "b": 0.6}, copycat=True))
    independent = fit_merge(sampled(600, accuracies={"a": 0.6, "b": 0.6, "copy": 0.6}))

    def agreement_of_two(fit: object) -> float:
        with_copy = fit.posterior([{"a": 1.0, "copy": 1.0}, {"b": 1.0}])  # type: ignore[attr-defined]
        return float(with_copy[0])

    assert agreement_of_two(fitted) < agreement_of_two(independent)


def test_the_posterior_is_calibrated_out_of_sample() -> None:
    accuracies = {"a": 0.7, "b": 0.5, "c": 0.4}
    fitted = fit_merge(sampled(2000, accuracies=accuracies))
    stated = true = 0.0
    for task in sampled(2000, accuracies=accuracies, seed=1):
        posterior = fitted.posterior(task.supports)
        stated += max(posterior)
        true += posterior.index(max(posterior)) == task.right
    assert stated / 2000 == pytest.approx(true / 2000, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcz"), st.floats(0.0, 1.0)), max_size=5))
def test_a_posterior_leaves_room_for_none_of_them(supports: list[dict[str, float]]) -> None:
    posterior = FITTED.posterior(supports)
    assert len(posterior) == len(supports)
    assert all(p > 0 for p in posterior)
    assert math.fsum(posterior) < 1.0


FITTED = fit_merge(sampled(60, accuracies={"a": 0.7, "b": 0.5, "c": 0.4}))


def test_gradient_and_hessian_are_the_slopes_of_the_loss() -> None:
    design = _Design.of(LabelledAnswers.of(sampled(40, accuracies={"a": 0.7, "b": 0.5, "c": 0.4})))
    theta = np.array([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.7])
    _, chance = design.loss(theta)
    slope = approx_fprime(theta, lambda at: design.loss(at)[0], 1e-6)
    assert design.slope(chance) == pytest.approx(slope, abs=1e-3)
    curvature = approx_fprime(theta, lambda at: design.slope(design.loss(at)[1]), 1e-6)
    assert design.curvature(chance) == pytest.approx(curvature, abs=1e-3)


def test_no_other_weights_make_the_labels_more_probable() -> None:
    tasks = sampled(60, accuracies={"a": 0.7, "b": 0.5})
    fitted = fit_merge(tasks, ridge=0.5, pair_ridge=0.5)
    design = _Design.of(LabelledAnswers.of(tasks))
    theta = np.array([fitted.weights["a"], fitted.weights["b"], fitted.pairs["a", "b"], fitted.none])

    def penalised(at: NDArray[np.float64]) -> float:
        drawn = at[:2] - at[:2].mean()
        penalty = 0.5 * (drawn @ drawn + at[2] ** 2) + 0.05 * at @ at
        return design.loss(at)[0] + float(penalty)

    found = minimize(penalised, np.zeros(4), method="BFGS")
    assert penalised(theta) <= found.fun + 1e-9
    assert theta == pytest.approx(found.x, abs=1e-3)


def test_few_labels_never_make_certainty() -> None:
    fitted = fit_merge([LabelledTask(supports=({"a": 1.0},), right=0)] * 5)
    assert 0.5 < fitted.posterior([{"a": 1.0}])[0] < 0.99


def test_the_fit_is_a_function_of_its_tasks() -> None:
    tasks = sampled(80, accuracies={"a": 0.7, "b": 0.5})
    assert fit_merge(tasks) == fit_merge(tasks)


def test_adding_a_model_keeps_what_was_learned_of_the_others() -> None:
    old = fit_merge(sampled(200, accuracies={"a": 0.7, "b": 0.5}))
    new = fit_merge(sampled(200, accuracies={"a": 0.7, "b": 0.5, "c": 0.9}), known=old)
    assert {m: new.weights[m] for m in old.models} == old.weights
    assert new.pairs["a", "b"] == old.pairs["a", "b"]
    assert new.weights["c"] > new.weights["a"]


def test_a_fit_needs_an_answer() -> None:
    with pytest.raises(InsufficientCalibrationDataError):
        fit_merge([LabelledTask(supports=(), right=None)])


def test_a_single_task_is_enough_to_fit() -> None:
    assert fit_merge([LabelledTask(supports=({"a": 1.0},), right=0)]).models == ("a",)


def test_without_labels_to_tell_them_apart_models_weigh_the_same() -> None:
    # Where the penalty draws towards equal models, and not towards none, agreement keeps its worth.
    tasks = sampled(30, accuracies={"a": 0.8, "b": 0.8})
    mirrored = [
        LabelledTask(
            supports=tuple({"ba"["ab".index(m)]: s for m, s in x.items()} for x in t.supports), right=t.right
        )
        for t in tasks
    ]
    fitted = fit_merge([*tasks, *mirrored], ridge=1e6)
    assert fitted.weights["a"] == pytest.approx(fitted.weights["b"], abs=1e-3)
    assert fitted.weights["a"] > 0.2
