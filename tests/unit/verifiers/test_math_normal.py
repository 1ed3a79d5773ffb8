from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.math.normal import normal_form


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("$\\dfrac{1}{2}$.", "\\frac12"),
        ("1,000", "1000"),
        ("10,\\!080", "10080"),
        ("1 000", "1000"),
        ("$5", "5"),
        ("\\$36", "36"),
        ("5.0", "5"),
        ("007", "7"),
        ("−3", "-3"),
        ("x^{2}", "x²"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("\\text{Evelyn}", "Evelyn"),
        ("No Solution", "no solution"),
        ("\\boxed{3}", "3"),
        ("28\\%", "28%"),
        ("42.", "42"),
    ],
)
def test_certain_synonyms_have_one_form(left: str, right: str) -> None:
    assert normal_form(left) == normal_form(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("5", "-5"), ("5%", "5"), ("(1,2)", "(2,1)"), ("1,2", "12"), ("a", "A"),
     ("x^2", "x2"), ("1 2", "12"), ("0.5", "5"), ("5 cm", "5")],
)  # fmt: skip
def test_what_may_differ_keeps_its_form(left: str, right: str) -> None:
    assert normal_form(left) != normal_form(right)


@given(st.text(max_size=200))
def test_a_normal_form_never_fails(text: str) -> None:
    normal_form(text)


@given(st.integers(-(10**15), 10**15))
def test_grouping_digits_changes_nothing(number: int) -> None:
    assert normal_form(f"{number:,}") == normal_form(f"${number}$") == str(number)
