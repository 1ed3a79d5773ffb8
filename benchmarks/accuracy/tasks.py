"""The tasks that chains are recorded for: every so many rows of GSM8K, HumanEval and MBPP, as task lines."""

from __future__ import annotations

import ast
import json
import re
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from worker.submission.lines import TaskLine

K = 8
MAX_TOKENS = 300
"""Of one chain; longer ones say little more and cost a laptop a minute each."""


def choose(data: Path, *, n_math: int, n_code: int) -> list[TaskLine]:
    """Return math and code tasks in turn, so that whatever is recorded first is a sample of both.

    Args:
        data: Folder of the benchmark files.
        n_math: Rows of GSM8K.
        n_code: Rows of HumanEval and MBPP together, half of each.

    Raises:
        FileNotFoundError: A file is missing.
    """
    math = [_math_line(i, row) for i, row in _spread(data / "gsm8k_first_half.jsonl", n_math)]
    human = [_humaneval_line(row) for _, row in _spread(data / "humaneval.jsonl", n_code // 2)]
    mbpp = [_mbpp_line(row) for _, row in _spread(data / "mbpp_first_half.jsonl", n_code - n_code // 2)]
    code = [line for pair in zip_longest(human, mbpp) for line in pair if line is not None]
    return [line for pair in zip_longest(math, code) for line in pair if line is not None]


def _spread(path: Path, n: int) -> list[tuple[int, dict[str, Any]]]:
    """Return n rows with their numbers, evenly spread over the file: no row is picked for what it says."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    n = min(n, len(rows))
    return [(i * len(rows) // n, rows[i * len(rows) // n]) for i in range(n)]


def _line(fields: dict[str, Any]) -> TaskLine:
    options = {"k": K, "max_tokens": MAX_TOKENS, "early_exit": "none"}
    return TaskLine.model_validate({**fields, "options": options})


def _math_line(number: int, row: dict[str, Any]) -> TaskLine:
    truth = row["answer"].rpartition("####")[2].strip().replace(",", "")
    return _line(
        {"custom_id": f"gsm8k-{number}", "kind": "math", "prompt": row["question"], "label": truth}
        | {"domain": "gsm8k"}
    )


def _humaneval_line(row: dict[str, Any]) -> TaskLine:
    return _line(
        {
            "custom_id": row["task_id"].replace("HumanEval/", "humaneval-"),
            "kind": "code",
            "domain": "humaneval",
            "prompt": f"Complete this function:\n{row['prompt']}",
            "verify": [_tests(row["entry_point"], row["test"])],
            "metadata": {"shown_tests": shown_examples(row["prompt"], row["entry_point"])},
        }
    )


def _mbpp_line(row: dict[str, Any]) -> TaskLine:
    shown = row["test_list"][0]
    name = _called(shown)
    setup = [row["test_setup_code"]] if row["test_setup_code"] else []
    return _line(
        {
            "custom_id": f"mbpp-{row['task_id']}",
            "kind": "code",
            "domain": "mbpp",
            "prompt": f"{row['text']} The function is called {name}. For example:\n{shown}",
            "verify": [_tests(name, "\n".join([*setup, *row["test_list"]]))],
            "metadata": {"shown_tests": "\n".join([*setup, shown])},
        }
    )


def _tests(entry_point: str, tests: str) -> dict[str, Any]:
    return {"verifier": "code", "entry_point": entry_point, "tests": tests}


def _called(assertion: str) -> str:
    """Return the function that an assertion of MBPP tests: the innermost plain name it calls with arguments."""
    calls = [node for node in ast.walk(ast.parse(assertion)) if isinstance(node, ast.Call)]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    ours = [
        name
        for name in names
        if name not in {"set", "sorted", "list", "tuple", "math", "len", "round", "int"}
    ]
    return (ours or names)[0]


EXAMPLE = re.compile(r"^\s*>>> (?P<call>.+)\n\s*(?P<value>[^\s>].*)$", re.MULTILINE)


def shown_examples(prompt: str, entry_point: str) -> str:
    """Return the examples of a docstring as assertions; those that are no plain call and value are left out."""
    found = []
    for match in EXAMPLE.finditer(prompt):
        call, value = match["call"].strip(), match["value"].strip()
        if f"{entry_point}(" in call and all(map(_is_expression, (call, value))):
            found.append(f"assert {call} == {value}")
    return "\n".join(found)


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def shown_only(line: TaskLine) -> TaskLine:
    """Return the task verified by the tests that its prompt shows, and by no hidden one."""
    shown = line.metadata.get("shown_tests", "")
    verify = list(chain(spec.model_copy(update={"tests": shown}) for spec in line.verify)) if shown else []
    return line.model_copy(update={"verify": verify})
