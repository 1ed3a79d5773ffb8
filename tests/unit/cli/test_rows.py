"""Rows as programs and spreadsheets get them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cli.rows import FORMULA_STARTS, Format, csv_cell, format_of, write_rows
from cli.times import is_day, past_time


@given(st.text())
def test_no_cell_is_a_formula_and_none_loses_its_text(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.lstrip(" ").startswith(FORMULA_STARTS)
    assert cell.removeprefix("'") == text.removeprefix("'")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_a_row_of_csv_is_read_back_as_it_was(cells: list[str]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow([csv_cell(cell) for cell in cells])
    read = next(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert [cell.removeprefix("'") for cell in read] == [cell.removeprefix("'") for cell in cells]


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("old")

    def rows() -> list[dict[str, int]]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows((row for row in rows()), ["a"], Format.CSV, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_files_name_says_its_format() -> None:
    assert format_of(Path("x.CSV"), None, as_json=False) is Format.CSV
    assert format_of(Path("x"), None, as_json=False) is Format.JSON
    assert format_of(Path("x.jsonl"), "json", as_json=True) is Format.JSON
    assert format_of(Path("x.txt"), "parquet", as_json=False) is Format.PARQUET
    assert format_of(Path("x"), "csv", as_json=False) is Format.CSV
    assert format_of(Path("x.txt"), None, as_json=True) is Format.JSON
    assert format_of(None, None, as_json=False) is Format.TABLE


@pytest.mark.parametrize(
    ("name", "given", "as_json", "told"),
    [
        (None, "parquet", False, "name a file"),
        ("x.parquet", "csv", False, "says parquet, --format says csv"),
        ("x.json", "csv", False, "end it in .csv"),
        ("x.csv", None, True, "says csv, --json says jsonl"),
        ("x.txt", None, False, ".jsonl, .csv or .parquet"),
        ("x.jsonl.gz", None, False, ".jsonl, .csv or .parquet"),
        ("x.txt", "table", False, "for the terminal"),
        (None, "csv", True, "--json is JSON lines and --format says csv"),
    ],
)
def test_formats_that_contradict_each_other_are_refused(
    name: str | None, given: str | None, *, as_json: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        format_of(None if name is None else Path(name), given, as_json=as_json)
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_span_counts_back_and_a_day_is_told_from_a_time_of_it() -> None:
    found = past_time("2w", option="--since")
    assert found is not None
    assert timedelta(days=13.9) < datetime.now(UTC) - found < timedelta(days=14.1)
    assert past_time("2026-05-03", option="--since") == datetime(2026, 5, 3, tzinfo=UTC)
    assert is_day("2026-05-03")
    assert not is_day("2026-05-03T00:00")
    assert not is_day("3d")
