"""Theorem 14: no stated distribution scores better than the true one."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reasoner.proper_scores import Score, brier_loss, expected_loss, log_loss, spherical_loss

SCORES: list[Score] = [log_loss, brier_loss, spherical_loss]

pairs = st.integers(2, 6).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any)] * 2)
)


def shares(parts: list[int]) -> list[float]:
    return [part / sum(parts) for part in parts]


@given(pairs, st.sampled_from(SCORES))
def test_the_truth_is_the_best_thing_to_say(parts: tuple[list[int], list[int]], score: Score) -> None:
    true, stated = shares(parts[0]), shares(parts[1])
    honest = expected_loss(score, stated=true, true=true)
    assert honest <= expected_loss(score, stated=stated, true=true) + 1e-12


@given(pairs, st.sampled_from(SCORES))
def test_only_the_truth_is_that_good(parts: tuple[list[int], list[int]], score: Score) -> None:
    true, stated = shares(parts[0]), shares(parts[1])
    assume(max(abs(a - b) for a, b in zip(true, stated, strict=True)) > 1e-3)
    assert expected_loss(score, stated=true, true=true) < expected_loss(score, stated=stated, true=true)


@pytest.mark.parametrize(
    ("score", "loss"),
    [(log_loss, math.log(2)), (brier_loss, 0.25 + 0.09 + 0.04), (spherical_loss, 1 - 0.5 / math.sqrt(0.38))],
)
def test_losses_worked_by_hand(score: Score, loss: float) -> None:
    assert score([0.5, 0.3, 0.2], 0) == pytest.approx(loss)


def test_the_truth_denied_costs_the_log_score_everything() -> None:
    assert log_loss([1.0, 0.0], 1) == math.inf
    assert brier_loss([1.0, 0.0], 1) == 2.0
    assert spherical_loss([1.0, 0.0], 1) == 1.0
    assert spherical_loss([0.0, 0.0], 1) == 1.0


@pytest.mark.parametrize("score", SCORES)
def test_certainty_of_the_truth_costs_nothing(score: Score) -> None:
    assert score([0.0, 1.0], 1) == 0.0
