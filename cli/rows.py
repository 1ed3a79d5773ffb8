"""Rows written as a table, JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from rich.table import Table

from cli.console import clipped, fail, out, plain, shown
from cli.parquet import write_parquet

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, in the full-width forms too."""

Row = Mapping[str, Any]


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


ENDINGS = {
    ".jsonl": Format.JSON,
    ".json": Format.JSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    "": Format.JSON,
}
"""What the end of a file's name says of its rows."""


def format_of(path: Path | None, given: str | None, *, as_json: bool) -> Format:
    """Return the format that was asked for, or the one that the file's name says; exit where they disagree."""
    asked = _asked(given, as_json=as_json)
    if path is None:
        if asked is Format.PARQUET:
            raise fail("Parquet is no text; name a file: -o decisions.parquet")
        return asked or Format.TABLE
    if asked is Format.TABLE:
        raise fail("a table is for the terminal; give a file --format jsonl, csv or parquet")
    named = ENDINGS.get(path.suffix.lower())
    if asked is None:
        if named is None:
            raise fail(
                f"{path.name} names no format: end it in .jsonl, .csv or .parquet, or say which with --format"
            )
        return named
    if path.suffix and named not in {None, asked}:
        option = "--json" if given is None else "--format"
        raise fail(
            f"{path.name} says {named}, {option} says {asked}; leave out {option}, or end it in .{asked}"
        )
    return asked


def _asked(given: str | None, *, as_json: bool) -> Format | None:
    if given is None:
        return Format.JSON if as_json else None
    try:
        form = Format("jsonl" if given == "json" else given)
    except ValueError:
        raise fail(f"--format {given!r} is none of {', '.join(Format)}") from None
    if as_json and form is not Format.JSON:
        raise fail(f"--json is JSON lines and --format says {form}; leave out one of the two")
    return form


def write_rows(rows: Iterable[Row], columns: Sequence[str], form: Format, path: Path | None) -> int:
    """Write rows as they come and return how many; a file is there once it is whole, or not at all."""
    if path is None:
        return _print(rows, columns, form)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if form is Format.PARQUET:
            n = write_parquet(rows, columns, unfinished)
        else:
            with unfinished.open("w", encoding="utf-8", newline="") as stream:
                n = _write(rows, columns, form, stream)
        unfinished.replace(path)
    except OSError as error:
        raise fail(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return n


def _write(rows: Iterable[Row], columns: Sequence[str], form: Format, stream: TextIO) -> int:
    n = 0
    if form is Format.CSV:
        lines = csv.writer(stream)
        lines.writerow(columns)
        for n, row in enumerate(rows, start=1):  # noqa: B007 (the count is used after the loop)
            lines.writerow([csv_cell(row[name]) for name in columns])
        return n
    for n, row in enumerate(rows, start=1):  # noqa: B007 (the count is used after the loop)
        stream.write(
            json.dumps({name: row[name] for name in columns}, ensure_ascii=False, default=_text) + "\n"
        )
    return n


def _print(rows: Iterable[Row], columns: Sequence[str], form: Format) -> int:
    if form is not Format.TABLE:
        return _write(rows, columns, form, sys.stdout)
    table = Table(*columns)
    n = 0
    for n, row in enumerate(rows, start=1):  # noqa: B007 (the count is used after the loop)
        table.add_row(*(plain(clipped(_cell(row[name]), n_chars=60)) for name in columns))
    out.print(table)
    return n


def csv_cell(value: Any) -> str:  # noqa: ANN401 (any value of a row)
    """Return a cell; text that a spreadsheet would run gets an apostrophe before it.

    Answers are a model's words, and may be ``=HYPERLINK(...)``.
    """
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return str(value)
    text = _text(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def _cell(value: Any) -> str:  # noqa: ANN401 (any value of a row)
    return shown(value) if value is None or isinstance(value, float) else _text(value)


def _text(value: Any) -> str:  # noqa: ANN401 (any value of a row)
    match value:
        case datetime():
            return value.isoformat()
        case date() | UUID() | str():
            return str(value)
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
