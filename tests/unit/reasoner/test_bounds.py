"""Theorems 8 and 11 against brute force."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.bounds import (
    consensus_bound,
    effective_chains,
    majority_error,
    measure,
    singleton_success,
)
from reasoner.errors import InsufficientCalibrationDataError, InvalidRuleError


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any))
def test_theorem_8_one_over_the_merge_degree_is_a_floor_not_a_ceiling(parts: list[int]) -> None:
    posterior = [part / sum(parts) for part in parts]
    success = singleton_success(posterior)
    assert success.at_least <= success.exactly * (1 + 1e-12)
    assert success.exactly <= success.at_most * (1 + 1e-12)


@given(st.integers(1, 12), st.integers(0, 4))
def test_theorem_8_is_an_equality_for_exchangeable_explanations(n: int, dead: int) -> None:
    success = singleton_success([1 / n] * n + [0.0] * dead)
    assert success.at_least == pytest.approx(success.exactly) == pytest.approx(1 / n)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=8).filter(lambda parts: len(set(parts)) > 1))
def test_theorem_8_is_strict_otherwise(parts: list[int]) -> None:
    success = singleton_success([part / sum(parts) for part in parts])
    assert success.at_least < success.exactly


def test_theorem_8_is_what_a_draw_from_the_posterior_achieves() -> None:
    posterior = [0.5, 0.3, 0.2]
    drawn = sum(posterior[x] * posterior[y] * (x == y) for x, y in product(range(3), repeat=2))
    assert singleton_success(posterior).at_least == pytest.approx(drawn) == pytest.approx(0.38)


@given(st.integers(1, 10), st.floats(0.0, 1.0))
def test_majority_error_is_the_sum_over_all_outcomes(n: int, p: float) -> None:
    brute = sum(
        math.prod(p if right else 1 - p for right in votes)
        for votes in product([True, False], repeat=n)
        if 2 * sum(votes) <= n
    )
    assert majority_error(n, p) == pytest.approx(brute)


@given(st.integers(1, 60), st.floats(0.5001, 1.0))
def test_theorem_11_bounds_the_exact_error_of_independent_chains(n: int, p: float) -> None:
    bound = consensus_bound(n, p=p)
    exact = majority_error(n, p)
    assert exact <= bound.hoeffding * (1 + 1e-9) + 1e-12
    assert exact <= bound.cantelli * (1 + 1e-9) + 1e-12


def mixture_error(n: int, easy: float, hard: float, share: float) -> tuple[float, float, float]:
    """Exact majority error, p and rho of chains that are independent given whether the task is easy."""
    p = share * easy + (1 - share) * hard
    both = share * easy**2 + (1 - share) * hard**2
    error = share * majority_error(n, easy) + (1 - share) * majority_error(n, hard)
    return error, p, (both - p * p) / (p * (1 - p))


@given(st.integers(1, 40), st.floats(0.5, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_theorem_11_cantelli_holds_for_correlated_chains(
    n: int, easy: float, hard: float, share: float
) -> None:
    error, p, rho = mixture_error(n, easy, hard, share)
    if p > 0.5:
        assert error <= consensus_bound(n, p=p, rho=rho).cantelli * (1 + 1e-9) + 1e-9


def test_ignoring_correlation_promises_too_much() -> None:
    # A third of the tasks is hopeless: no number of chains helps there, and independence would say 0.02 %.
    error, p, rho = mixture_error(61, 0.99, 0.25, 2 / 3)
    assert error > 0.3
    assert consensus_bound(61, p=p, rho=0.0).hoeffding < error / 100
    corrected = consensus_bound(61, p=p, rho=rho)
    assert corrected.hoeffding > error
    assert corrected.cantelli > error


@given(st.integers(1, 50), st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_merging_does_not_help_at_half_or_less(n: int, p: float, rho: float) -> None:
    bound = consensus_bound(n, p=p, rho=rho)
    assert not bound.helps
    assert bound.hoeffding == bound.cantelli == 1.0
    assert "does not help" in bound.verdict


def test_it_helps_just_above_half_and_not_at_half() -> None:
    assert not consensus_bound(9, p=0.5).helps
    assert consensus_bound(9, p=0.51).helps
    assert "errs at most" in consensus_bound(9, p=0.51).verdict


@given(st.integers(1, 100), st.floats(0.0, 1.0))
def test_correlated_chains_are_worth_between_one_and_n(n: int, rho: float) -> None:
    assert 1.0 - 1e-12 <= effective_chains(n, rho) <= n


def test_effective_chains_worked_by_hand() -> None:
    assert effective_chains(8, 0.0) == 8
    assert effective_chains(8, 1.0) == 1
    assert effective_chains(5, 0.25) == pytest.approx(2.5)
    assert effective_chains(8, -0.3) == 8  # noise earns nothing


def test_measured_p_and_rho_worked_by_hand() -> None:
    # One task all right, one all wrong: p = 1/2, both right half of the time, rho = (1/2 - 1/4) / (1/4) = 1.
    assert measure([[True] * 4, [False] * 4]).rho == pytest.approx(1.0)
    # Two of four right everywhere: both right 2/12 of the time, rho = (1/6 - 1/4) / (1/4) = -1/3.
    measured = measure([[True, True, False, False]] * 3)
    assert (measured.p, measured.n_tasks) == (0.5, 3)
    assert measured.rho == pytest.approx(-1 / 3)


def test_single_chains_and_unanimity_say_nothing_of_correlation() -> None:
    assert measure([[True], [False]]).rho == 0.0
    assert measure([[True, True]]).rho == 0.0
    assert measure([[True, True], [False]]).rho == 0.0


def test_impossible_values_are_refused() -> None:
    with pytest.raises(InsufficientCalibrationDataError):
        measure([[]])
    for n, p, rho in [(0, 0.6, 0.0), (3, 1.1, 0.0), (3, math.nan, 0.0), (3, 0.6, 1.1), (3, 0.6, math.nan)]:
        with pytest.raises(InvalidRuleError):
            consensus_bound(n, p=p, rho=rho)
