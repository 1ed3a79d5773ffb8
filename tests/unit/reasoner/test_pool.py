"""The pool report, with numbers worked by hand and on real outputs of four models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasoner.errors import InsufficientCalibrationDataError
from reasoner.pool import PoolTask, pool_report, wilson_interval

DATA = Path(__file__).parents[2] / "data" / "method" / "gsm8k_four_models_answers.jsonl"

HAND = [
    PoolTask(answers={"a": "1", "b": "1", "c": "2"}, truth="1"),
    PoolTask(answers={"a": "1", "b": "2", "c": "2"}, truth="1"),
    PoolTask(answers={"a": "3", "b": "3", "c": "3"}, truth="1"),
    PoolTask(answers={"a": "1", "b": "1", "c": None}, truth="1"),
]


def real() -> list[PoolTask]:
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [PoolTask(answers=row["answers"], truth=row["truth"]) for row in rows]


def test_the_report_worked_by_hand() -> None:
    report = pool_report(HAND)
    assert [(m.model, m.right, m.answered) for m in report.models] == [("a", 3, 4), ("b", 2, 4), ("c", 0, 3)]
    assert report.agreement == ((1.0, 0.75, 0.25), (0.75, 1.0, 0.5), (0.25, 0.5, 1.0))
    # a and b: both right 1/2, a 3/4, b 1/2: (1/2 - 3/8) / sqrt(3/16 * 1/4) = 1 / sqrt 3; c is never right.
    assert report.error_correlation is not None
    assert list(report.error_correlation[0]) == pytest.approx([1.0, 3**-0.5, 0.0])
    assert report.rho == pytest.approx(3**-0.5 / 3)
    assert report.effective_voters == pytest.approx(3 / (1 + 2 * 3**-0.5 / 3))
    assert report.ceiling == 0.75
    assert [(level.models_agreeing, level.n_tasks, level.accuracy) for level in report.levels] == [
        (2, 3, pytest.approx(2 / 3)),
        (3, 1, 0.0),
    ]
    assert report.subsets == ()  # four labels are no ground for comparing subsets


def test_largest_groups_of_one_size_share_the_credit() -> None:
    report = pool_report([PoolTask(answers={"a": "1", "b": "2"}, truth="1")])
    assert report.levels[0].accuracy == 0.5


def test_without_labels_it_says_who_agrees_and_nothing_more() -> None:
    report = pool_report([PoolTask(answers={"a": "1", "b": "1"})])
    assert report.agreement[0][1] == 1.0
    assert report.n_labelled == 0
    assert report.rho is None
    assert report.ceiling is None
    assert report.error_correlation is None
    assert report.models[0].accuracy is None
    assert report.levels[0].accuracy is None


def test_a_model_that_joined_late_is_judged_on_what_it_took_part_in() -> None:
    report = pool_report([*HAND, PoolTask(answers={"a": "1", "b": "1", "c": "1", "d": "1"}, truth="1")])
    assert report.models[3].labelled == 1
    assert report.agreement[0][3] == 1.0


def test_the_report_is_json() -> None:
    json.dumps(pool_report(HAND).to_json(), allow_nan=False)


def test_an_empty_pool_is_refused() -> None:
    for tasks in ([], [PoolTask(answers={})]):
        with pytest.raises(InsufficientCalibrationDataError):
            pool_report(tasks)


def test_wilsons_interval_worked_by_hand() -> None:
    assert list(wilson_interval(0, 10)) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert list(wilson_interval(50, 100)) == pytest.approx([0.4038, 0.5962], abs=1e-4)
    with pytest.raises(InsufficientCalibrationDataError):
        wilson_interval(0, 0)


def test_on_real_models_accuracy_rises_with_agreement_and_errors_are_correlated() -> None:
    report = pool_report(real())
    accuracies = [level.accuracy for level in report.levels if level.accuracy is not None]
    assert accuracies == sorted(accuracies)
    assert report.rho is not None
    assert report.rho > 0.3
    assert report.effective_voters is not None
    assert report.effective_voters < 2.5
    assert report.ceiling is not None
    assert report.ceiling >= report.subsets[0].accuracy


def test_on_real_models_the_best_subset_includes_the_best_model() -> None:
    report = pool_report(real())
    best = max(report.models, key=lambda m: m.accuracy or 0.0).model
    assert best in report.subsets[0].models
