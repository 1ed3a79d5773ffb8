"""Labelled rows and their parts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.entailment.rows import Row, RowError, read_rows

SHIPPED = Path(__file__).parents[2] / "data/mnli/rows.jsonl.gz"


@given(st.text(), st.text(), st.text())
def test_rows_of_one_premise_are_never_in_two_parts(premise: str, one: str, other: str) -> None:
    parts = {Row(premise=premise, hypothesis=h, label="neutral").part for h in (one, other)}
    assert len(parts) == 1


def test_the_shipped_rows_split_as_promised_with_every_label_in_every_part() -> None:
    counts = Counter((row.part, row.label) for row in read_rows(SHIPPED))
    assert len(counts) == 9
    assert min(counts.values()) > 200


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        "3",
        '{"premise": "p", "hypothesis": "h", "label": "yes"}',
        '{"premise": 1, "hypothesis": "h"}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "rows.jsonl"
    good = json.dumps({"premise": "p", "hypothesis": "h", "label": "neutral"})
    path.write_text(f"{good}\n\n{bad}\n")
    with pytest.raises(RowError, match="line 3"):
        read_rows(path)


def test_rows_without_a_label_are_left_out_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    lines = [{"premise": "p", "hypothesis": "h", "label": label} for label in ("-", "neutral")]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert read_rows(path) == [Row(premise="p", hypothesis="h", label="neutral")]
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(RowError, match="no rows"):
        read_rows(empty)
