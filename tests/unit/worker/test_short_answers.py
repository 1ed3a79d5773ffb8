"""Short answers: what is the answer, what is markup, and what only says that an answer follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.kinds import KINDS, text_normal_form
from worker.short_answers import MAX_CHARS, extract_short_answer, shown


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "Answer: Paris",
        "answer = Paris.",
        "The answer is Paris.",
        "So, the answer is Paris.",
        "Therefore the correct answer is **Paris.**",
        "The final answer is **Paris**.",
        "The final answer is: Paris",
        "The final answer is $\\boxed{\\text{Paris}}$.",
        "Answer is Paris",
        "**Answer:** Paris",
        "**Answer: Paris**",
        "*Answer: Paris*",
        "**Answer**: Paris",
        "__Answer:__ Paris",
        "> ### Final answer: `Paris`",
        'Answer: "Paris."',
        "Answer: “Paris”.",
        "Answer：Paris",
        "<answer>Paris</answer>",
        "<think>Rome?</think>\n<answer>\n**Paris**\n</answer>",
        "It is in <ANSWER>Paris",
        "Paris</answer>",  # a prompt that ends with the tag
    ],
)
@pytest.mark.parametrize("kind", ["qa", "diagnosis"])
def test_one_answer_is_one_answer_however_it_is_announced(text: str, kind: str) -> None:
    assert KINDS[kind].extract(text, None) == "Paris"


@pytest.mark.parametrize(
    "text", ["The most likely diagnosis is influenza.", "Most likely diagnosis: influenza"]
)
def test_a_diagnosis_is_announced_in_its_own_way(text: str) -> None:
    assert extract_short_answer(text) == "influenza"


@pytest.mark.parametrize(
    "answer",
    [
        "Influenza (flu)", "f(x)", "print()", "[1, 2]", "(Paris)", "__init__", "_private_", "snake_case_", "U.S.",
        "the U.S.", "Ph.D.", "Apple Inc.", "Martin Luther King Jr.", ".5", "-5", "$5", "A*", "5!", "Paris...", "'tis",
        "**a** and **b**", '"a" and "b"', "`a` or `b`", "$x$ and $y$", "x = \\boxed{5}", "\\boxed{a}{b}",
    ],
)  # fmt: skip
def test_what_belongs_to_an_answer_is_shown_as_it_was_written(answer: str) -> None:
    assert extract_short_answer(f"Answer: {answer}") == answer
    assert extract_short_answer(f"The answer is {answer}") == answer
    assert extract_short_answer(f"I think so.\n{answer}") == answer


@pytest.mark.parametrize(
    ("written", "is_shown"),
    [
        ("No.", "No"), ("5.", "5"), ("3.14.", "3.14"), ("node.js.", "node.js"), ("Hepatitis B.", "Hepatitis B"),
        ("f(x).", "f(x)"), ("**U.S.**", "U.S."), ("**.5**.", ".5"), ("_Paris_", "Paris"), ("__New York__", "New York"),
        ("`__init__`.", "__init__"), ("** Paris", "Paris"), ("* Paris", "Paris"), ("\\(x\\)", "x"),
    ],
)  # fmt: skip
def test_markup_and_the_dot_of_the_sentence_are_not_shown(written: str, is_shown: str) -> None:
    assert shown(written) == is_shown


@pytest.mark.parametrize("pair", [("U.S.", "U.S"), ("f(x)", "f(x"), ("[1, 2]", "1, 2"), ("__init__", "init")])
def test_answers_that_were_cut_before_still_count_as_the_same(pair: tuple[str, str]) -> None:
    assert text_normal_form(pair[0]) == text_normal_form(pair[1])


def test_the_last_of_a_sort_counts_and_a_label_more_than_a_sentence() -> None:
    assert extract_short_answer("It is a half.\nAnswer: .5") == ".5"
    assert extract_short_answer("Answer: Rome\nNo.\nFinal answer: **Paris**.\nI am sure.") == "Paris"
    assert extract_short_answer("Answer: Paris\nThe answer is what I remember.") == "Paris"
    assert (
        extract_short_answer("The answer is Rome.\nNo, sorry.\nThe answer is Paris.\nI am sure.") == "Paris"
    )
    assert extract_short_answer("<answer>Rome</answer>\nNo.\n<answer>Paris</answer>\nYes.") == "Paris"


@pytest.mark.parametrize(
    "sentence",
    ["The answer is:", "The answer is not Rome.", "The answer is based on this map.", "The answer is as follows:",
     "The answer is one of these:", "<answer></answer>", "Answers: see below"],
)  # fmt: skip
def test_a_sentence_that_gives_no_answer_is_not_taken_for_one(sentence: str) -> None:
    assert extract_short_answer(f"{sentence}\nParis") == "Paris"


def test_without_an_announcement_the_last_line_that_says_anything_is_the_answer() -> None:
    assert extract_short_answer("Perhaps Rome.\nParis.\n---\n...") == "---"
    assert extract_short_answer("...") is None


@given(st.text(alphabet="aA.*_`\"'$()[]{}\\ <>/answer:=\n", max_size=60))
def test_what_is_shown_was_written(text: str) -> None:
    found = extract_short_answer(text)
    assert found is None or (found and found in text)


@pytest.mark.parametrize(
    "piece",
    ["*", " ", "_", "`", '"', "(", ".", "$$", "so ", "the ", "final ", "most likely ", "answer ", "answer is ", "is ",
     ": ", "**a", "* ", "\\boxed{", "}", "<answer>", "</answer>", "\n"],
)  # fmt: skip
def test_hostile_text_takes_no_longer_than_other_text(piece: str) -> None:
    many = piece * (MAX_CHARS // len(piece))  # what is read in quadratic time runs into the test's own limit
    for text in (many, f"{many}x", f"the answer{many}x", f"Answer: {many}x"):
        extract_short_answer(text)
