"""Theorems 3, 5 and 16 and Corollary 4 against brute force over all sets of a small domain."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.errors import InvalidDistributionError, InvalidRuleError
from reasoner.risk import compare_with_singleton, regularised_risk
from reasoner.sets import by_posterior, coverage_set, threshold_set, top_k_set

# Whole sixteenths add and compare exactly, so that ties are ties; zero mass and missing mass included.
sixteenths = (
    st.lists(st.integers(0, 8), min_size=0, max_size=6)
    .filter(lambda parts: sum(parts) <= 16)
    .map(lambda parts: [part / 16 for part in parts])
)
lambdas = st.integers(0, 16).map(lambda n: n / 16)


def all_sets(n: int) -> list[tuple[int, ...]]:
    return [chosen for size in range(n + 1) for chosen in combinations(range(n), size)]


def mass(posterior: list[float], chosen: tuple[int, ...]) -> float:
    return math.fsum(posterior[i] for i in chosen)


@given(sixteenths, lambdas)
def test_theorem_3_no_set_has_a_lower_regularised_risk(posterior: list[float], lambda_: float) -> None:
    chosen = threshold_set(posterior, lambda_=lambda_)
    risk = regularised_risk(posterior, chosen, lambda_=lambda_)
    assert risk == min(regularised_risk(posterior, s, lambda_=lambda_) for s in all_sets(len(posterior)))


@given(sixteenths, lambdas)
def test_theorem_3_ties_are_included_so_the_set_is_the_largest_minimiser(
    posterior: list[float], lambda_: float
) -> None:
    best = min(regularised_risk(posterior, s, lambda_=lambda_) for s in all_sets(len(posterior)))
    minimisers = [
        s for s in all_sets(len(posterior)) if regularised_risk(posterior, s, lambda_=lambda_) == best
    ]
    assert set(threshold_set(posterior, lambda_=lambda_)) == set().union(*map(set, minimisers))


def test_theorem_3_worked_by_hand() -> None:
    # p = .5, .3, .2 and lambda = .3: R = 1 - .8 + .6 = .8, as for {.5} alone: .5 + .3; all three cost .9.
    posterior = [0.5, 0.3, 0.2]
    assert threshold_set(posterior, lambda_=0.3) == (0, 1)
    assert regularised_risk(posterior, (0, 1), lambda_=0.3) == pytest.approx(0.8)
    assert regularised_risk(posterior, (0,), lambda_=0.3) == pytest.approx(0.8)
    assert regularised_risk(posterior, (0, 1, 2), lambda_=0.3) == pytest.approx(0.9)


@given(sixteenths, st.integers(0, 8))
def test_theorem_5_no_set_of_at_most_k_covers_more(posterior: list[float], k: int) -> None:
    chosen = top_k_set(posterior, k=k)
    assert len(chosen) == min(k, sum(p > 0 for p in posterior))
    assert mass(posterior, chosen) == max(mass(posterior, s) for s in all_sets(len(posterior)) if len(s) <= k)


def test_theorem_5_with_k_beyond_the_support_drops_zero_mass() -> None:
    assert top_k_set([0.25, 0.0, 0.75, 0.0], k=9) == (2, 0)
    assert top_k_set([], k=3) == ()


@given(sixteenths, lambdas)
def test_theorem_16_no_smaller_set_reaches_alpha(posterior: list[float], alpha: float) -> None:
    chosen = coverage_set(posterior, alpha=alpha)
    reaching = [s for s in all_sets(len(posterior)) if mass(posterior, s) >= alpha]
    if reaching:
        assert mass(posterior, chosen) >= alpha
        assert len(chosen) == min(len(s) for s in reaching)
    else:
        assert len(chosen) == sum(p > 0 for p in posterior)  # the coverage ceiling: everything with mass


def test_theorem_16_worked_by_hand() -> None:
    posterior = [0.1, 0.5, 0.4]
    assert coverage_set(posterior, alpha=0.9) == (1, 2)  # .5 + .4 reaches .9
    assert coverage_set(posterior, alpha=0.91) == (1, 2, 0)
    assert coverage_set(posterior, alpha=0.0) == ()


def test_rounding_does_not_cost_a_member() -> None:
    assert len(coverage_set([0.3, 0.3, 0.3, 0.1], alpha=0.9)) == 3  # the sum is 0.8999999999999999
    assert len(coverage_set([1 / 3] * 3, alpha=2 / 3)) == 2


@given(sixteenths, lambdas, lambdas, st.integers(0, 8))
def test_ties_are_broken_the_same_way_everywhere(
    posterior: list[float], lambda_: float, alpha: float, k: int
) -> None:
    ranked = by_posterior(posterior)
    for chosen in (
        threshold_set(posterior, lambda_=lambda_),
        top_k_set(posterior, k=k),
        coverage_set(posterior, alpha=alpha),
    ):
        assert list(chosen) == ranked[: len(chosen)]


def test_a_tie_goes_to_the_lower_position() -> None:
    assert top_k_set([0.25, 0.5, 0.25], k=2) == (1, 0)
    assert coverage_set([0.25, 0.5, 0.25], alpha=0.75) == (1, 0)
    assert threshold_set([0.25, 0.5, 0.25], lambda_=0.25) == (1, 0, 2)


@given(sixteenths, lambdas, lambdas)
def test_a_higher_lambda_never_adds_a_member(posterior: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert set(threshold_set(posterior, lambda_=high)) <= set(threshold_set(posterior, lambda_=low))


@given(sixteenths, lambdas)
def test_corollary_4_the_set_never_loses_to_the_single_answer(posterior: list[float], lambda_: float) -> None:
    compared = compare_with_singleton(posterior, lambda_=lambda_)
    assert compared.gain >= 0
    if not posterior:
        assert compared.gain == 0
        return
    exact = [Fraction(p) for p in posterior]
    best = max(exact)
    others = sorted(exact, reverse=True)[1:]
    zero = Fraction(0)
    expected = max(Fraction(lambda_) - best, zero) + sum(max(p - Fraction(lambda_), zero) for p in others)
    assert compared.gain == expected


def test_corollary_4_worked_by_hand() -> None:
    compared = compare_with_singleton([0.5, 0.4, 0.1], lambda_=0.3)
    assert compared.set_risk == pytest.approx(0.1 + 0.6)
    assert compared.singleton_risk == pytest.approx(0.5 + 0.3)
    assert compared.gain == pytest.approx(0.4 - 0.3)


@pytest.mark.parametrize("posterior", [[-0.1], [math.nan], [0.6, 0.6]])
def test_what_is_no_distribution_is_refused(posterior: list[float]) -> None:
    with pytest.raises(InvalidDistributionError):
        threshold_set(posterior, lambda_=0.1)


def test_a_set_of_fewer_than_no_members_is_refused() -> None:
    with pytest.raises(InvalidRuleError):
        top_k_set([1.0], k=-1)
