"""What the report on recorded chains counts, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy.record import _recorded as recorded_ids
from benchmarks.accuracy.recording import read
from benchmarks.accuracy.report import _auroc as auroc
from benchmarks.accuracy.report import report
from benchmarks.accuracy.tasks import choose, shown_examples, shown_only
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.settings import Settings

PROMPT = '''def add(x, y):
    """Add.
    >>> add(2, 3)
    5
    >>> other(1)
    2
    >>> add("not a value"
    5
    """
'''


def test_only_examples_that_are_calls_of_the_function_become_tests() -> None:
    assert shown_examples(PROMPT, "add") == "assert add(2, 3) == 5"
    assert shown_examples("no examples", "add") == ""


def test_a_low_degree_for_right_answers_is_counted_by_pairs() -> None:
    assert auroc([(1.0, True), (2.0, False)]) == 1.0
    assert auroc([(2.0, True), (2.0, False)]) == 0.5
    assert auroc([(1.0, True), (3.0, True), (2.0, False), (4.0, False)]) == 0.75
    assert auroc([(1.0, True)]) is None


def test_tasks_are_spread_over_the_files_and_hide_the_tests_that_are_not_shown(tmp_path: Path) -> None:
    math = [{"question": f"q{i}", "answer": f"so\n#### {i},000"} for i in range(6)]
    human = {"task_id": "HumanEval/3", "prompt": PROMPT, "entry_point": "add", "test": "def check(c): ..."}
    mbpp = {
        "task_id": 7,
        "text": "Add.",
        "test_list": ["assert set(plus(1, 1)) == {2}", "assert plus(2, 2) == 4"],
        "test_setup_code": "",
    }
    for name, rows in (("gsm8k_first_half", math), ("humaneval", [human]), ("mbpp_first_half", [mbpp])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tasks = choose(tmp_path, n_math=3, n_code=2)
    assert [task.custom_id for task in tasks] == ["gsm8k-0", "humaneval-3", "gsm8k-2", "mbpp-7", "gsm8k-4"]
    assert tasks[2].labels == ["2000"]
    assert [spec.tests for spec in shown_only(tasks[3]).verify] == ["assert set(plus(1, 1)) == {2}"]  # type: ignore[union-attr]
    assert tasks[3].verify[0].entry_point == "plus"  # type: ignore[union-attr]


def chain(index: int, answer: str, **fields: Any) -> dict[str, Any]:
    plain = {"index": index, "text": rf"\boxed{{{answer}}}", "logprob": -1.0, "n_tokens": 10, "model": "m"}
    return {**plain, **fields}


def test_the_report_counts_right_answers_sets_and_savings(tmp_path: Path) -> None:
    task: dict[str, Any] = {"kind": "math", "prompt": "?", "options": {"k": 8, "early_exit": "none"}}
    said = {"a": ["4"] * 6 + ["5", "6"], "b": ["1", "2", "3", "7", "8", "9", "10", "11"]}
    rows: list[dict[str, Any]] = [
        {
            "task": {**task, "custom_id": name, "label": "4.0" if name == "a" else "99"},
            "chains": [chain(i, answer) for i, answer in enumerate(answers)],
            "greedy": chain(8, "4"),
        }
        for name, answers in said.items()
    ]
    file = tmp_path / "chains.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    with Judges(Surroundings(settings=Settings(state_dir=tmp_path))) as judges:
        found = report(read(file, judges))
    ways = {row["way"]: row for row in found["ways"]}
    assert [ways[w]["accuracy"] for w in ("greedy", "one sample", "majority", "MERGE")] == [
        0.5,
        0.375,
        0.5,
        0.5,
    ]
    assert (ways["MERGE"]["answered_share"], ways["MERGE"]["selective_accuracy"]) == (0.5, 1.0)
    assert found["sets"]["MERGE"]["coverage"] == 0.5
    assert found["sets"]["MERGE"]["ceiling"] == 0.5
    assert found["degree"]["auroc"] == 1.0
    by_policy = {row["policy"]: row for row in found["exits"]}
    assert by_policy["lossless"]["same_answer"] == 1.0
    assert by_policy["paper"]["tokens_saved"] == pytest.approx(4 / 16)  # the first task's last four chains


def test_a_recording_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "chains.jsonl"
    file.write_text('{"task": {"custom_id": "a"}}\n{"task": {"custom_id": "b')
    assert recorded_ids(file) == {"a"}
    assert file.read_text() == '{"task": {"custom_id": "a"}}\n'
    assert recorded_ids(tmp_path / "none.jsonl") == set()
