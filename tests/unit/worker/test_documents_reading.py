"""Documents out of files: every line is a document or a problem, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

from worker.documents.reading import read_all
from worker.submission.lines import ReferenceDocument
from worker.submission.problems import LineProblem

MAX_BYTES = 100_000


def read(*paths: Path) -> list[tuple[str, str]]:
    """Return (id, title) of a document, (code, fix) of a problem."""
    return [
        (one.id, one.title) if isinstance(one, ReferenceDocument) else (one.code, one.fix)
        for one in read_all(paths, max_bytes=MAX_BYTES)
    ]


def test_a_text_is_one_document_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "leave.md"
    path.write_text("\n## Annual leave\n\nThere are 25 days.\n", encoding="utf-8")
    (found,) = read_all([path], max_bytes=MAX_BYTES)
    assert isinstance(found, ReferenceDocument)
    assert (found.id, found.title) == (path.as_posix(), "Annual leave")
    assert "25 days" in found.text


def test_a_bad_line_is_told_with_line_field_and_fix_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    lines = [
        json.dumps({"id": "a", "text": "Fever.", "title": "Flu", "metadata": {"year": 2020}}),
        '{"id": "b", "text": 5}',
        "not json",
        '{"id": "c", "txt": "x"}',
        '{"id": "a", "text": "again"}',
        '{"id": "n", "text": "NUL \\u0000"}',
        '{"id": "s", "text": "surrogate \\ud800"}',
        json.dumps({"id": "l", "text": "x" * MAX_BYTES}),
        '{"id": "", "text": "x"}',
        '{"id": "e", "text": ""}',
        "",
        '{"id": "z", "text": "last"}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = list(read_all([path], max_bytes=MAX_BYTES))
    assert [one.id for one in found if isinstance(one, ReferenceDocument)] == ["a", "z"]
    problems = [(one.line, one.field, one.code) for one in found if isinstance(one, LineProblem)]
    assert problems == [
        (2, "text", "wrong_type"),
        (3, "-", "invalid_json"),
        (4, "text", "missing_field"),
        (5, "id", "duplicate_id"),
        (6, "-", "nul_character"),
        (7, "-", "invalid_json"),
        (8, "-", "line_too_long"),
        (9, "id", "invalid_value"),
        (10, "text", "invalid_value"),
    ]
    assert all(one.fix for one in found if isinstance(one, LineProblem))


def test_a_text_file_that_is_none_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    for name, content in {"b.bin": b"\xff\xfe\x00", "e.txt": b" \n", "l.txt": b"x" * (MAX_BYTES + 1)}.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in ("b.bin", "e.txt", "l.txt")]
    assert [code for code, _ in read(*paths)] == ["invalid_utf8", "empty", "too_long"]


def test_an_id_that_another_file_gave_is_a_problem(tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text('{"id": "a", "text": "x"}\n', encoding="utf-8")
    assert [one[0] for one in read(tmp_path / "one.jsonl", tmp_path / "two.jsonl")] == ["a", "duplicate_id"]
