"""A ledger file that was touched anywhere is not believed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import LedgerFileError
from worker.ledger_file import FORMAT, VERSION, new_file, read_lines

HEADER = f'"ledger": {{"format": "{FORMAT}", "version": {VERSION}, "tenant": "default"}}'


def write(path: Path, n_tasks: int = 3) -> Path:
    with new_file(path) as writer:
        writer.write("ledger", HEADER)
        for i in range(n_tasks):
            writer.write("task", f'"task": {{"id": "{i}", "text": "größer \\u2028"}}')
        writer.end()
    return path


@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.jsonl.gz"])
def test_what_was_written_is_read_line_by_line(tmp_path: Path, name: str) -> None:
    lines = list(read_lines(write(tmp_path / name)))
    assert [(line.number, line.kind) for line in lines] == [
        (1, "ledger"), (2, "task"), (3, "task"), (4, "task"), (5, "end")
    ]  # fmt: skip
    assert lines[1].value["task"]["text"] == "größer \u2028"


def test_the_same_lines_make_the_same_file(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.gz"), write(tmp_path / "other.gz")
    assert one.read_bytes() == other.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_any_changed_byte_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "ledger.jsonl"
    path.unlink(missing_ok=True)
    whole = bytearray(write(path).read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    old = json.loads(whole.splitlines()[-1])
    whole[place] = other
    path.write_bytes(whole)
    try:
        list(read_lines(path))
    except LedgerFileError:
        return
    # White space in the last line, which only says of the others that they are whole.
    assert json.loads(path.read_bytes().splitlines()[-1]) == old


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data(), name=st.sampled_from(["ledger.jsonl", "ledger.jsonl.gz"]))
def test_a_cut_file_is_refused(tmp_path: Path, data: st.DataObject, name: str) -> None:
    path = tmp_path / name
    path.unlink(missing_ok=True)
    whole = write(path).read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(LedgerFileError, match="line "):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ('{"ledger": {"format": "merge-reasoner ledger", "version": 2}}', "version 2"),
        ('{"ledger": {"format": "other", "version": 1}}', "no header"),
        ('{"task": {}}', "no header"),
        ('{"ledger": []}', "nothing that a ledger file holds"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_file_of_something_else_is_refused_at_its_first_line(tmp_path: Path, first: str, why: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(first + "\n")
    with pytest.raises(LedgerFileError, match=f"line 1: .*{why}"):
        list(read_lines(path))


def test_what_follows_the_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "ledger.jsonl")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(LedgerFileError, match="line 6: something follows the end"):
        list(read_lines(path))


def test_damaged_compression_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "ledger.gz"
    path.write_bytes(gzip.compress(b"x" * 100)[:-9] + b"123456789")
    with pytest.raises(LedgerFileError, match="line 1"):
        list(read_lines(path))


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path / "ledger.jsonl")
    with pytest.raises(LedgerFileError, match="there already"):
        write(path)


def test_an_export_that_ends_badly_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with new_file(tmp_path / "ledger.jsonl") as writer:
            writer.write("ledger", HEADER)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
