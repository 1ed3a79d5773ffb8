"""A bad line is told with its line, field and fix, and never costs a good one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.submission.lines import TaskLine
from worker.submission.problems import LineProblem
from worker.submission.reader import read_lines
from worker.submission.validation import LineValidator, ValidLine

GOOD = {"custom_id": "a", "kind": "math", "prompt": "1 + 1?"}
FACTS: dict[str, Any] = {"verifier": "facts", "documents": [{"id": "a", "text": "Leave is 25 days."}]}
LIMIT_BYTES = 10_000


def judge(content: bytes, *, max_line_bytes: int = LIMIT_BYTES) -> list[ValidLine[TaskLine] | LineProblem]:
    validator = LineValidator(TaskLine, file="f.jsonl", max_line_bytes=max_line_bytes)
    return list(validator.validate(io.BytesIO(content)))


def lines(*values: object) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


def only_problem(results: Iterable[ValidLine[TaskLine] | LineProblem]) -> LineProblem:
    problems = [result for result in results if isinstance(result, LineProblem)]
    assert len(problems) == 1
    return problems[0]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"prompt": None, "promt": "x"}, "promt", "unknown_field"),
        ({"prompt": 5}, "prompt", "wrong_type"),
        ({"kind": "maths"}, "kind", "invalid_value"),
        ({"custom_id": 5}, "custom_id", "wrong_type"),
        ({"custom_id": ""}, "custom_id", "invalid_value"),
        ({"options": {"k": "8"}}, "options.k", "wrong_type"),
        ({"options": {"k": 0}}, "options.k", "invalid_value"),
        ({"options": {"kk": 8}}, "options.kk", "unknown_field"),
        ({"options": {"lambda": 1.5}}, "options.lambda", "invalid_value"),
        ({"options": {"models": ["other", "other"]}}, "options.models", "invalid_value"),
        ({"options": {"models": []}}, "options.models", "invalid_value"),
        ({"options": {"not_before": "9999-12-31T23:59:00-14:00"}}, "options.not_before", "invalid_value"),
        ({"options": {"not_before": "0001-01-01T00:00:00+14:00"}}, "options.not_before", "invalid_value"),
        ({"options": {"not_before": "2026-05-03"}}, "options.not_before", "invalid_value"),
        ({"options": {"stop": [""]}}, "options.stop.0", "invalid_value"),
        ({"verify": [{"verifier": "code"}]}, "verify.0.tests", "missing_field"),
        ({"verify": [{"verifier": "magic"}]}, "verify.0", "invalid_value"),
        ({"verify": [{"verifier": "math"}]}, "verify.0", "invalid_value"),
        ({"verify": [{"verifier": "math", "reference": "1", "steps": True}]}, "verify.0", "invalid_value"),
        ({"verify": [{"verifier": "math", "steps": False}]}, "verify.0", "invalid_value"),
        ({"verify": [{"verifier": "math", "conditions": []}]}, "verify.0.conditions", "invalid_value"),
        ({"verify": [{"verifier": "math", "steps": True, "unknowns": ["x"]}]}, "verify.0", "invalid_value"),
        (
            {"verify": [{"verifier": "math", "steps": True, "collection": "list"}]},
            "verify.0",
            "invalid_value",
        ),
        ({"verify": [{"tests": "assert f()"}]}, "verify.0", "missing_field"),
        ({"verify": [{"verifier": "facts"}]}, "verify.0", "invalid_value"),
        ({"verify": [{**FACTS, "collection": "c"}]}, "verify.0", "invalid_value"),
        ({"verify": [{**FACTS, "statement": "It is 25."}]}, "verify.0.statement", "invalid_value"),
        ({"verify": [{**FACTS, "documents": []}]}, "verify.0.documents", "invalid_value"),
        ({"verify": [{**FACTS, "documents": 2 * FACTS["documents"]}]}, "verify.0", "invalid_value"),
        ({"verify": [{**FACTS, "documents": [{"id": "a"}]}]}, "verify.0.documents.0.text", "missing_field"),
        ({"verify": [{**FACTS, "colection": "c"}]}, "verify.0.colection", "unknown_field"),
        ({"chains": [{"text": "x", "logprob": 0.5}]}, "chains.0.logprob", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x"}]}, "-", "invalid_value"),
        ({"label": [1]}, "label", "wrong_type"),
        ({"metadata": []}, "metadata", "wrong_type"),
        ({"prompt": "a\x00b"}, "-", "nul_character"),
    ],
)
def test_a_wrong_field_is_named_with_a_fix(change: dict[str, object], field: str, code: str) -> None:
    wrong = {key: value for key, value in (GOOD | change).items() if value is not None}
    problem = only_problem(judge(lines({**GOOD, "custom_id": "first"}, wrong)))
    assert (problem.line, problem.field, problem.code) == (2, field, code)
    assert problem.fix
    assert "f.jsonl:2" in str(problem)


def test_a_misspelt_field_is_guessed() -> None:
    problem = only_problem(judge(lines({"custom_id": "a", "kind": "math", "promt": "x"})))
    assert 'did you mean "prompt"' in problem.fix


def test_a_repeated_id_names_the_line_it_stood_on_first() -> None:
    problem = only_problem(judge(lines(GOOD, {**GOOD, "custom_id": "b"}, GOOD)))
    assert (problem.line, problem.field, problem.code) == (3, "custom_id", "duplicate_id")
    assert "line 1" in problem.problem


def test_a_field_given_twice_is_refused_and_named() -> None:
    twice = b'{"custom_id": "a", "kind": "math", "prompt": "1 + 1?", "prompt": "2 + 2?"}'
    problem = only_problem(judge(twice))
    assert (problem.field, problem.code) == ("prompt", "duplicate_field")


def test_a_field_s_name_inside_a_text_is_no_repetition() -> None:
    told = {**GOOD, "prompt": 'What is "prompt" in "prompt"?', "metadata": {"prompt": {"prompt": 1}}}
    assert isinstance(judge(lines(told))[0], ValidLine)


def test_the_wrong_line_is_found_by_its_id_too() -> None:
    assert only_problem(judge(lines({**GOOD, "kind": "x"}))).custom_id == "a"


def test_a_byte_order_mark_windows_ends_and_blank_lines_are_harmless() -> None:
    content = b"\xef\xbb\xbf" + lines(GOOD) + b"\r\n\r\n  \r\n" + lines({**GOOD, "custom_id": "b"}) + b"\r\n"
    assert [r.number for r in judge(content) if isinstance(r, ValidLine)] == [1, 4]


def test_invalid_utf8_spoils_its_line_alone() -> None:
    results = judge(lines(GOOD) + b'\n{"custom_id": "\xff"}\n' + lines({**GOOD, "custom_id": "b"}))
    problem = only_problem(results)
    assert (problem.line, problem.code) == (2, "invalid_utf8")
    assert len(results) == 3


def test_a_hundred_megabyte_line_spoils_itself_alone_and_is_not_kept() -> None:
    class Endless(io.RawIOBase):
        """A first line of 100 MB that exists nowhere, then a good line."""

        left = 100 * 1024 * 1024

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader calls
            if self.left > 0:
                n = min(len(buffer), self.left)
                buffer[:n] = b"x" * n
                self.left -= n
                return n
            rest, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
            buffer[: len(rest)] = rest
            return len(rest)

        rest = b"\n" + lines(GOOD)

    validator = LineValidator(TaskLine, file="f.jsonl", max_line_bytes=LIMIT_BYTES)
    results = list(validator.validate(io.BufferedReader(Endless())))
    assert only_problem(results).code == "line_too_long"
    assert isinstance(results[1], ValidLine)
    assert results[1].number == 2


def test_deep_nesting_is_a_problem_not_a_crash() -> None:
    deep = b'{"custom_id": "a", "kind": "math", "prompt": "x", "metadata": ' + b"[" * 5000
    problem = only_problem(judge(deep))
    assert problem.code == "invalid_json"
    assert "less deeply" in problem.fix


def test_the_text_of_an_escaped_nul_is_no_nul() -> None:
    assert isinstance(judge(lines({**GOOD, "prompt": "\\u0000 in C"}))[0], ValidLine)


def test_an_empty_file_has_no_lines() -> None:
    assert judge(b"") == []
    assert judge(b"\xef\xbb\xbf\r\n") == []


def test_chains_or_candidates_need_no_prompt() -> None:
    given_chains = {"custom_id": "a", "kind": "math", "chains": [{"text": "4"}]}
    candidates = {"custom_id": "b", "kind": "code", "candidates": ["def f(): pass"]}
    both = {"custom_id": "c", "kind": "code", "candidates": ["x"], "chains": [{"text": "x"}]}
    results = judge(lines(given_chains, candidates, both))
    assert [isinstance(result, ValidLine) for result in results] == [True, True, False]


def test_an_answer_that_is_null_is_none_and_one_left_out_is_extracted() -> None:
    line = TaskLine.model_validate_json(
        b'{"custom_id": "a", "kind": "math", "chains": [{"text": "4"}, {"text": "4", "answer": null}]}'
    )
    assert [chain.extracts for chain in line.chains or []] == [True, False]


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_validator(content: bytes) -> None:
    for result in judge(content, max_line_bytes=50):
        assert isinstance(result, (ValidLine, LineProblem))


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b), max_size=8), st.integers(1, 40))
def test_every_line_keeps_the_number_an_editor_shows(contents: list[bytes], max_line_bytes: int) -> None:
    expected = {
        i: content.removeprefix(b"\xef\xbb\xbf" if i == 1 else b"").strip()
        for i, content in enumerate(contents, 1)
    }
    for line in read_lines(io.BytesIO(b"\n".join(contents)), max_line_bytes=max_line_bytes):
        if not line.too_long:
            assert line.content == expected[line.number]
        else:
            assert len(contents[line.number - 1]) > max_line_bytes - 3


def test_a_task_is_about_programs_in_one_language() -> None:
    python, javascript = (
        {"verifier": "code", "tests": "assert(f(1) === 1)", "language": language}
        for language in ("python", "javascript")
    )
    task = {"custom_id": "a", "kind": "code", "candidates": ["f = 1"]}
    (good,) = judge(lines({**task, "verify": [javascript, {**javascript, "inner": "allowed"}]}))
    assert isinstance(good, ValidLine)
    assert good.line.language == "javascript"
    problem = only_problem(judge(lines({**task, "verify": [python, javascript]})))
    assert "different languages" in problem.problem
    problem = only_problem(judge(lines({**task, "verify": [{**python, "language": "rust"}]})))
    assert problem.field.endswith("language")
