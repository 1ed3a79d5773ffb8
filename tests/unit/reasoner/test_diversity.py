"""Temperatures, seeds and prompt variants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.diversity import seeds, temperatures, turns
from reasoner.errors import InvalidRuleError


@given(st.integers(0, 100))
def test_temperatures_stay_within_the_papers_range(k: int) -> None:
    plan = temperatures(k)
    assert len(plan) == k
    assert all(0.3 <= t <= 0.9 for t in plan)
    assert len(set(plan)) == k


@given(st.integers(8, 100), st.integers(4, 100))
def test_every_beginning_of_the_plan_spreads_over_the_range(k: int, n: int) -> None:
    first = temperatures(k)[:n]
    assert max(first) - min(first) > 0.35
    assert sum(first) / len(first) == pytest.approx(0.6, abs=0.1)


def test_temperatures_worked_by_hand() -> None:
    assert temperatures(1) == (0.6,)
    assert temperatures(4) == (0.3, 0.7, 0.5, 0.9)
    assert temperatures(2) == (0.3, 0.9)


@given(st.integers(0, 100), st.text())
def test_seeds_are_a_permutation_of_the_chain_numbers(k: int, task_id: str) -> None:
    assert sorted(seeds(k, task_id)) == list(range(k))


def test_seeds_depend_on_the_task_and_on_nothing_else() -> None:
    assert seeds(16, "t-1") == seeds(16, "t-1") != seeds(16, "t-2")
    assert seeds(4, "t-17") == (0, 2, 3, 1)  # pinned: the same on every machine and Python


@given(st.integers(0, 50), st.integers(1, 7), st.integers(1, 4))
def test_models_and_prompt_variants_are_used_evenly(k: int, n: int, each: int) -> None:
    counts = [turns(k, n, each=each).count(thing) for thing in range(n)]
    assert max(counts) - min(counts) <= each


def test_no_model_and_no_variant_gets_the_cold_temperatures_or_only_one_of_the_other() -> None:
    plan, models, variants = temperatures(8), turns(8, 2), turns(8, 2, each=2)
    for one in (0, 1):
        for of in (models, variants):
            assert sum(t for t, thing in zip(plan, of, strict=True) if thing == one) == pytest.approx(
                2.4, abs=0.2
            )
    assert sorted(zip(models, variants, strict=True)) == [
        (a, b) for a in (0, 1) for b in (0, 1) for _ in (0, 1)
    ]


def test_impossible_numbers_are_refused() -> None:
    for call in (lambda: temperatures(-1), lambda: seeds(-1, "t"), lambda: turns(2, 0)):
        with pytest.raises(InvalidRuleError):
            call()
