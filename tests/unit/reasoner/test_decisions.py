"""Thresholds, rules and normal forms refuse or normalise what they are given."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.decisions import Rules, Thresholds
from reasoner.errors import InvalidRuleError, ReasonerError
from reasoner.normal_forms import normal_number, normal_text, stripped


@pytest.mark.parametrize("name", ["lambda_", "tau_margin", "tau_conf", "tau_score"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_a_threshold_outside_its_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InvalidRuleError, match=name):
        Thresholds(**{name: value})


@pytest.mark.parametrize("field", [{"k": 0}, {"set_k": 0}, {"min_confirmations": -1}, {"set_alpha": 1.5}])
def test_an_impossible_rule_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(InvalidRuleError):
        Rules(**field)  # type: ignore[arg-type]  # wrong values on purpose


def test_our_errors_are_value_errors() -> None:
    assert issubclass(ReasonerError, ValueError)


def test_the_papers_threshold_is_the_default() -> None:
    assert Thresholds().lambda_ == 0.3


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("1,200", "1200"),
        ("$1,200.50", "1200.5"),
        ("18.0", "18"),
        (" 18. ", "18"),
        ("-3", "-3"),
        ("\N{MINUS SIGN}3", "-3"),
        ("-0.0", "0"),
        ("50%", "50%"),
        ("50.0 %", "50%"),
        (".5", "0.5"),
        ("1,20", "1,20"),  # no thousands group: not ours to read
        ("1/2", "1/2"),
        ("18 eggs", "18 eggs"),
        ("Paris.", "paris"),
        ("", ""),
        ("-", "-"),
        ("1e5", "1e5"),
        ("\N{ARABIC-INDIC DIGIT THREE}", "3"),
    ],
)
def test_a_numbers_normal_form(answer: str, normal: str) -> None:
    assert normal_number(answer) == normal


def test_a_megabyte_of_digits_costs_nothing() -> None:
    assert normal_number("9" * 1_000_000) == "9" * 1_000_000


@given(st.text())
def test_normal_forms_are_idempotent(answer: str) -> None:
    for normalise in (stripped, normal_text, normal_number):
        once = normalise(answer)
        assert normalise(once) == once


def test_text_forgets_case_spaces_and_a_final_stop() -> None:
    assert normal_text("  The\u00a0 Cold. ") == "the cold"
