from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.math.extraction import MAX_ANSWER_CHARS, extract_answer

DATA = Path(__file__).parents[2] / "data" / "math"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $x=\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"First \boxed{1}. No: \boxed{2}.", "2"),
        (r"\boxed{\sqrt{\frac{a}{b}}}", r"\sqrt{\frac{a}{b}}"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{20} percent", r"20\%"),
        (r"unclosed \boxed{5", "5"),
        ("The answer is 42.", "42"),
        ("The answer is 42. I hope it is correct.", "42"),
        ("the final answer is $3.5$, as claimed", "3.5"),
        ("Final Answer: The final answer is 12,000,023. I hope it is correct.", "12,000,023"),
        ("She has 3 left.\n#### 42", "42"),
        ("3 + 4 = 7\nA: 7", "7"),
        ("**Answer:** 17", "17"),
        ("**Answer**: 17", "17"),
        ("**Final Answer**\n\n17", "17"),
        ("The total is **42** dollars for 3 people", "42"),
        ("She sells 9 eggs for $2 each, so she makes $18", "$18"),
        ("Therefore $x \\geq 5$ is the solution.", "x \\geq 5"),
        ("The answer is Evelyn.", "Evelyn"),
        ("The answer is (C).", "(C)"),
        ("The answer is 5. Let me check: 2 + 3. The answer is 6.", "6"),
        (r"\boxed{7}. So the answer is correct.", "7"),
        (r"\boxed{7}. Wait. The answer is 8.", "8"),
        ("x^2 + 1", "x^2 + 1"),
        ("42", "42"),
        ("No solution", "No solution"),
        ("-1.8 billion", "-1.8 billion"),
        ("he pays .5 of it", ".5"),
        ("I do not know the first thing about it", None),
        ("", None),
    ],
)
def test_the_last_marked_answer_wins(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_answers_of_real_chains_are_found() -> None:
    for line in (DATA / "chains.jsonl").read_text().splitlines():
        chain = json.loads(line)
        assert extract_answer(chain["text"]) == chain["answer"]


@pytest.mark.parametrize(
    "piece",
    ["(", "\\boxed{", "\\boxed{1}", "$", "$$", "\\[", "\\(", "the answer is ",
     "**", "**1", "1,", "-", ".", "\n", "A:\n",
     "#### ", "\\text{", "answer ", "1 ", "a", "\\", "{", "}", "$1", "|", "é", "\x00"],
)  # fmt: skip
def test_megabytes_of_anything_are_searched_in_bounded_space(piece: str) -> None:
    answer = extract_answer(piece * (1_000_000 // len(piece)))
    assert answer is None or len(answer) <= MAX_ANSWER_CHARS


@given(st.text(alphabet=r"\boxed{}$*# 0123,.%answer isA:()[]+-=/^_" + "\n", max_size=300))
def test_any_text_has_a_short_answer_or_none(text: str) -> None:
    answer = extract_answer(text)
    assert answer is None or 0 < len(answer) <= MAX_ANSWER_CHARS


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(["\\boxed{%d}", "The answer is %d.", "#### %d", "so\nA: %d", "**%d**"]),
)
def test_a_marked_number_is_found_behind_any_other_numbers(number: int, form: str) -> None:
    assert extract_answer(f"We have 3 + 4 = 7 and 12.5 of them. {form % number}") == str(number)
