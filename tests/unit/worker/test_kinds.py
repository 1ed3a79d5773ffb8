"""Short answers: what is decoration and what is the answer."""

from __future__ import annotations

import pytest

from worker.kinds import read_answer, rules_of_kind, text_normal_form


@pytest.mark.parametrize("answer", ["Paris", " **Paris**. ", '"paris"', "(Paris)", "...PARIS!"])
def test_decoration_and_case_are_not_part_of_an_answer(answer: str) -> None:
    assert text_normal_form(answer) == "paris"


def test_the_point_before_a_digit_belongs_to_the_number() -> None:
    assert text_normal_form("**.5**.") == ".5"
    assert text_normal_form("5.") == "5"


def test_a_program_is_read_off_in_the_language_of_its_task() -> None:
    text = "```python\ndef f(): pass\n```\n```js\nconst f = () => 1;\n```\n"
    python, javascript = (
        read_answer("code", "merge", text, "f", language) for language in ("python", "javascript")
    )
    assert python == "def f(): pass\n"
    assert javascript == "const f = () => 1;\n"
    assert rules_of_kind("math", "javascript") is rules_of_kind("math", "python")
