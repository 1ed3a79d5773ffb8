"""Labels from files: each kept once, and every line answered for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.bench import Outbox, query, send
from worker.labels import Labelled, take_in_labels
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.store.labels import Standing

pytestmark = pytest.mark.services

EARLY, LATER = "2026-05-03T10:00:00Z", "2026-05-04T10:00:00+02:00"


def task(number: int) -> dict[str, object]:
    return {"custom_id": f"t{number}", "kind": "qa", "candidates": ["a", "a", "b"]}


@pytest.fixture
def batch(desk: Desk, outbox: Outbox) -> str:
    made = send(desk, *(task(i) for i in range(3)))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    decide(desk, outbox.take(DECIDE)[:2])  # t2 is not decided yet
    return str(made.batch_id)


def label(desk: Desk, tmp_path: Path, *lines: object, raw: bytes = b"") -> Labelled:
    content = raw + "\n".join(json.dumps(line) for line in lines).encode()
    return take_in_labels(
        desk.store,
        io.BytesIO(content),
        file="labels.jsonl",
        error_file=tmp_path / "errors.jsonl",
        settings=desk.settings,
    )


def stored(desk: Desk) -> list[Any]:
    return query(
        desk.store,
        "SELECT t.custom_id, l.answers, l.correct, l.source FROM labels l JOIN tasks t ON t.id = l.task_id "
        "ORDER BY t.custom_id, l.at, l.id",
    )


def test_a_label_finds_its_task_by_id_and_by_name(desk: Desk, batch: str, tmp_path: Path) -> None:
    (t0,) = query(desk.store, "SELECT id FROM tasks WHERE custom_id = 't0'")[0]
    made = label(
        desk,
        tmp_path,
        {"task_id": str(t0), "answer": "a"},
        {"batch_id": batch, "custom_id": "t1", "answers": ["a", "b"], "source": "review", "at": EARLY},
    )
    assert made.standings == {Standing.NEW: 2}
    assert stored(desk) == [("t0", ["a"], None, "file"), ("t1", ["a", "b"], None, "review")]
    assert made.error_file is None


def test_the_same_file_again_adds_nothing(desk: Desk, batch: str, tmp_path: Path) -> None:
    lines = [
        {"batch_id": batch, "custom_id": "t0", "answer": "a"},
        {"batch_id": batch, "custom_id": "t1", "correct": False, "at": EARLY},
    ]
    assert label(desk, tmp_path, *lines).n_kept == 2
    again = label(desk, tmp_path, *lines)
    assert (again.n_kept, again.standings) == (0, {Standing.UNCHANGED: 2})


def test_a_correction_a_late_and_a_conflicting_label_are_told_apart(
    desk: Desk, batch: str, tmp_path: Path
) -> None:
    of_t0 = {"batch_id": batch, "custom_id": "t0"}
    assert label(desk, tmp_path, {**of_t0, "answer": "a", "at": EARLY}).standings == {Standing.NEW: 1}
    corrected = label(desk, tmp_path, {**of_t0, "answer": "b", "at": LATER})
    assert corrected.standings == {Standing.CORRECTED: 1}
    late = label(desk, tmp_path, {**of_t0, "answer": "c", "at": EARLY, "source": "slow"})
    assert late.standings == {Standing.LATE: 1}
    conflicting = label(desk, tmp_path, {**of_t0, "answer": "c", "at": LATER, "source": "other"})
    assert conflicting.standings == {Standing.CONFLICTING: 1}
    assert (conflicting.n_problems, conflicting.n_kept) == (1, 1)
    contradicted = label(desk, tmp_path, {**of_t0, "answer": "d", "at": LATER, "source": "other"})
    assert (contradicted.standings, contradicted.n_kept) == ({Standing.CONTRADICTED: 1}, 0)
    assert len(stored(desk)) == 4


def test_lines_that_cannot_be_kept_stand_whole_in_the_error_file(
    desk: Desk, batch: str, tmp_path: Path
) -> None:
    lines: list[dict[str, object]] = [
        {"task_id": str(uuid4()), "answer": "a"},
        {"batch_id": batch, "custom_id": "nobody", "answer": "a"},
        {"batch_id": batch, "custom_id": "t2", "correct": True},
        {"custom_id": "t0", "answer": "a"},
        {"batch_id": batch, "custom_id": "t0", "answer": "a", "at": "2999-01-01T00:00:00Z"},
        {"batch_id": batch, "custom_id": "t0", "answer": "a", "correct": True},
        {"batch_id": batch, "custom_id": "t0", "anser": "a"},
        {"batch_id": batch, "custom_id": "t0", "answer": "a", "at": "2026-05-03T10:00:00"},
        {"batch_id": batch, "custom_id": "t0", "answer": "a", "at": "0001-01-01T00:00:00+14:00"},
        {"batch_id": batch, "custom_id": "t1", "answer": "a"},
    ]
    made = label(desk, tmp_path, *lines, raw=b"not json\n")
    assert (made.n_lines, made.n_kept, made.n_unmatched, made.n_problems) == (11, 1, 2, 10)
    assert made.error_file is not None
    told = [json.loads(line) for line in made.error_file.read_text().splitlines()]
    assert {(one["line"], one["field"], one["code"]) for one in told} == {
        (1, "-", "invalid_json"),
        (2, "task_id", "unmatched_label"),
        (3, "custom_id", "unmatched_label"),
        (4, "correct", "undecided_task"),
        (5, "batch_id", "missing_field"),
        (6, "at", "time_in_future"),
        (7, "-", "invalid_value"),
        (8, "anser", "unknown_field"),
        (9, "at", "invalid_value"),
        (10, "at", "invalid_value"),
    }
    assert all(one["fix"] for one in told)
    unmatched = [one["label"] for one in told if one["code"] == "unmatched_label"]
    assert [one | {} for one in unmatched] == lines[:2]


def test_another_tenants_task_is_no_task(desk: Desk, batch: str, tmp_path: Path) -> None:
    query(desk.store, "UPDATE tasks SET tenant = 'other' RETURNING 1")
    assert label(desk, tmp_path, {"batch_id": batch, "custom_id": "t0", "answer": "a"}).n_unmatched == 1


def test_a_task_named_twice_in_a_file_without_times_contradicts_itself(
    desk: Desk, batch: str, tmp_path: Path
) -> None:
    of_t0 = {"batch_id": batch, "custom_id": "t0"}
    made = label(desk, tmp_path, {**of_t0, "answer": "a"}, {**of_t0, "answer": "a"}, {**of_t0, "answer": "b"})
    assert made.standings == {Standing.NEW: 1, Standing.UNCHANGED: 1, Standing.CONTRADICTED: 1}
