"""The inputs that programs are told apart by, and the texts that stand for what they return."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.code.behaviour import digest, entry_point_of, generated_inputs
from verifiers.sandbox.inside.behaviour import canonical
from verifiers.sandbox.inside.codec import Value

ASSERTS = "assert f([3, 1], 2) == 4\nassert f([], n) == 0\nassert g(f([1], 1)) == 0\nassert f([5], k=1) == 2"
CHECK = "def check(candidate):\n    assert candidate('abc') == 3\n    assert candidate('') == 0\n"


def test_calls_with_literal_arguments_are_the_first_inputs() -> None:
    assert generated_inputs(ASSERTS, "f", seed=0)[:2] == [([3, 1], 2), ([1], 1)]


def test_the_candidate_of_check_is_the_entry_point() -> None:
    assert generated_inputs(CHECK, "length", seed=0)[:2] == [("abc",), ("",)]


def test_mutations_keep_the_number_and_the_types_of_the_arguments() -> None:
    for items, number in generated_inputs(ASSERTS, "f", seed=0):
        assert isinstance(items, list)
        assert isinstance(number, int)


@given(st.integers(), st.integers(min_value=1, max_value=40))
def test_inputs_are_a_function_of_the_seed_within_the_limit(seed: int, limit: int) -> None:
    first = generated_inputs(ASSERTS, "f", seed=seed, limit=limit)
    assert first == generated_inputs(ASSERTS, "f", seed=seed, limit=limit)
    assert 1 <= len(first) <= limit
    assert len({digest([args])[0] for args in first}) == len(first)


def test_the_entry_point_is_guessed_from_what_the_asserts_call_most() -> None:
    assert entry_point_of(ASSERTS) == "f"


def test_a_function_that_the_tests_define_or_import_is_not_the_entry_point() -> None:
    tests = "from math import sqrt\ndef same(a, b): return a == b\nassert same(sqrt(f(1)), 2)\nassert same(f(2), 3)"
    assert entry_point_of(tests) == "f"


def test_a_builtin_is_the_entry_point_only_if_nothing_else_is_called() -> None:
    assert entry_point_of("assert sum(10, 15) == 25") == "sum"
    assert entry_point_of("x = f(1)\nassert len(x) == 3") == "f"
    assert entry_point_of("assert len(sorted([2, 1])) == 2") is None


@pytest.mark.parametrize("tests", ["", "assert f(", "x = 1", "assert f(open('x')) == 1", "(" * 10_000])
def test_tests_without_literal_calls_give_no_inputs(tests: str) -> None:
    assert generated_inputs(tests, "f", seed=0) == []


def test_deeply_nested_literals_are_mutated_in_reasonable_time() -> None:
    nested = "[" * 80 + "]" * 80
    assert generated_inputs(f"assert f({nested}) == 1", "f", seed=1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (2.0, 2),
        ({1, 2, 30}, {30, 2, 1}),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1}),
        (frozenset({1}), {1}),
        (0.0, -0.0),
    ],
)
def test_equal_values_have_the_same_text(one: Value, other: Value) -> None:
    assert one == other
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], (1,)),
        ("1", 1),
        (None, 0),
        ([1, 2], [2, 1]),
        ({1: 2}, {2: 1}),
        ("a" * 1000, "a" * 999 + "b"),
        ("", None),
    ],
)
def test_different_values_have_different_texts(one: Value, other: Value) -> None:
    assert canonical(one) != canonical(other)


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_the_text_of_a_value_is_short(value: Value) -> None:
    assert len(canonical(value)) <= 60
