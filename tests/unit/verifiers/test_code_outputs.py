"""What the comparison of printed outputs forgives, and what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.sandbox.inside.cases import IllFormedCasesError, read_cases
from verifiers.sandbox.inside.outputs import difference

LINES = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1, max_size=5)

SAME = {
    "a newline more": ("5", "5\n"),
    "empty lines at the end": ("5\n", "5\n\n\n"),
    "blanks at the ends of lines": ("1 2\n3", "1 2  \n3 "),
    "carriage returns": ("1\n2\n", "1\r\n2\r\n"),
    "more blanks between words": ("1 2 3", "1  2 3"),
    "a blank before the first word": ("YES", " YES"),
    "the last digits of a fraction": ("0.3333333333", "0.33333334"),
    "another way to write a fraction": ("2.50", "2.5"),
    "an exponent": ("1e-3", "0.001"),
    "a large fraction": ("123456789.5", "123456789.50001"),
    "nothing": ("", "\n"),
}


@pytest.mark.parametrize(("expected", "printed"), SAME.values(), ids=SAME.keys())
def test_a_difference_without_meaning_is_forgiven(expected: str, printed: str) -> None:
    assert difference(expected, printed) is None


OTHER = {
    "another number": ("5", "6"),
    "an integer made a fraction": ("3", "3.0000001"),
    "a large integer by one": ("10000000000000001", "10000000000000002"),
    "a fraction too far off": ("0.3333", "0.34"),
    "not a number": ("0.5", "nan"),
    "an infinite number": ("1e300", "1e999"),
    "a word of another case": ("Yes", "yes"),
    "a line too few": ("1\n2", "1"),
    "a line too many": ("1", "1\n2"),
    "a word too many": ("1 2", "1 2 3"),
    "words joined": ("1 2", "12"),
    "lines joined": ("1\n2", "1 2"),
    "an empty line between": ("1\n2", "1\n\n2"),
    "a drawing without its indentation": ("  *\n ***", "*\n***"),
    "columns without their padding": ("a    b", "a b"),
    "digits of another script": ("5.0", "\u0665.0"),
    "an underscore": ("10.0", "1_0.0"),
}


@pytest.mark.parametrize(("expected", "printed"), OTHER.values(), ids=OTHER.keys())
def test_a_difference_with_meaning_is_told(expected: str, printed: str) -> None:
    assert difference(expected, printed)


@given(LINES)
def test_every_output_is_like_itself_with_other_ends_of_lines(lines: list[str]) -> None:
    assert difference("\n".join(lines), "".join(f"{line} \r\n" for line in lines)) is None


@given(LINES, LINES)
def test_only_equal_words_and_numbers_are_alike(ones: list[str], others: list[str]) -> None:
    if difference(" ".join(ones), " ".join(others)) is None:
        assert len(" ".join(ones).split()) == len(" ".join(others).split())


def test_cases_are_read_in_both_spellings() -> None:
    assert read_cases('[{"stdin": "1", "stdout": "2"}, {"input": "3", "output": "4"}]') == [
        ("1", "2"),
        ("3", "4"),
    ]
    assert read_cases('[{"stdout": "2"}]') == [("", "2")]
    assert read_cases("[f(1) == 2]") is None


@pytest.mark.parametrize(
    "tests", ["[]", "[1]", '[{"stdin": "1"}]', '[{"stdin": 1, "stdout": "2"}]', '[{"stdout": "2", "and": 1}]']
)
def test_json_that_is_no_cases_is_refused(tests: str) -> None:
    with pytest.raises(IllFormedCasesError):
        read_cases(tests)
