"""Merge degree and semantic entropy."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.degree import merge_degree, merge_degree_corrected, semantic_entropy

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def test_worked_by_hand() -> None:
    # 5, 2 and 1 of eight chains: sum of squares 30/64; agreeing pairs 20 + 2 of 56.
    assert merge_degree([5, 2, 1]) == pytest.approx(64 / 30)
    assert merge_degree_corrected([5, 2, 1]) == pytest.approx(56 / 22)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_equal_clusters_count_themselves(n: int) -> None:
    assert merge_degree([3] * n) == pytest.approx(n)


def test_no_two_agreeing_chains_give_no_upper_limit() -> None:
    assert merge_degree_corrected([1, 1, 1]) == math.inf
    assert merge_degree_corrected([1]) == math.inf


def test_nothing_has_no_explanation() -> None:
    assert merge_degree([]) == merge_degree_corrected([]) == 0.0
    assert semantic_entropy([]) == semantic_entropy([0.0]) == 0.0


@given(sizes)
def test_merge_degree_lies_between_one_and_the_number_of_clusters(counts: list[int]) -> None:
    assert 1.0 <= merge_degree(counts) <= len(counts) * (1 + 1e-12)
    assert merge_degree_corrected(counts) >= merge_degree(counts) * (1 - 1e-12)


@pytest.mark.parametrize(
    "p", [(Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)), (Fraction(1, 4), Fraction(3, 4))]
)
@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_corrected_index_is_unbiased(p: tuple[Fraction, ...], k: int) -> None:
    # The mean over all k-samples, exactly: E[1 / corrected] = sum p^2 = 1 / N_eff, and the plug-in's is not.
    corrected = plug_in = Fraction(0)
    for sample in product(range(len(p)), repeat=k):
        chance = math.prod((p[i] for i in sample), start=Fraction(1))
        counts = list(Counter(sample).values())
        corrected += chance * Fraction(sum(n * (n - 1) for n in counts), k * (k - 1))
        plug_in += chance * Fraction(sum(n * n for n in counts), k * k)
        inverse = merge_degree_corrected(counts)
        assert (0.0 if math.isinf(inverse) else 1 / inverse) == pytest.approx(
            sum(n * (n - 1) for n in counts) / (k * (k - 1))
        )
    truth = sum(x * x for x in p)
    assert corrected == truth
    assert plug_in == truth + (1 - truth) / k  # why the plug-in N_eff is biased low


def test_entropy_worked_by_hand() -> None:
    assert semantic_entropy([0.25, 0.25]) == pytest.approx(math.log(2))
    assert semantic_entropy([0.5, 0.5, 0.0]) == pytest.approx(math.log(2))
    assert math.copysign(1.0, semantic_entropy([0.7])) == 1.0


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_entropy_is_at_most_that_of_equal_shares(parts: list[float]) -> None:
    total = sum(parts) * 1.25
    shares = [part / total for part in parts]
    assert -1e-12 <= semantic_entropy(shares) <= math.log(len(parts)) + 1e-12
    assert math.exp(semantic_entropy(shares)) >= 1 / sum((s * 1.25) ** 2 for s in shares) * (1 - 1e-9)
