"""Rows as a Parquet file; the one place that knows pyarrow, which is an extra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.console import fail

GROUP = 20_000  # rows of one row group: what is held in memory

NUMBERS = {"confidence", "vote_margin", "merge_degree", "answered", "agreement", "mean_set", "mean_degree"}
COUNTS = {"set_size", "tokens_spent", "tokens_saved", "decisions", "labelled", "failed"}
FLAGS = {"abstained"}
TIMES = {"decided_at"}
LISTS = {"abstain_reasons", "models"}


def write_parquet(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> int:
    """Write rows as they come and return how many; a column's type is the same whatever is in it.

    Raises:
        typer.Exit: pyarrow is missing, which is told.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise fail("Parquet needs the extra `parquet`: pip install 'mergereasoner[parquet]'") from error
    schema = pa.schema([(name, _type(name, pa)) for name in columns])
    rows, n = iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, GROUP)):
            values = {name: [_value(row[name]) for row in group] for name in columns}
            writer.write_table(pa.table(values, schema=schema))
            n += len(group)
    return n


def _type(name: str, pa: Any) -> Any:  # noqa: ANN401 (pyarrow's)
    for names, kind in (
        (NUMBERS, pa.float64()),
        (COUNTS, pa.int64()),
        (FLAGS, pa.bool_()),
        (TIMES, pa.timestamp("us", tz="UTC")),
        (LISTS, pa.list_(pa.string())),
    ):
        if name in names:
            return kind
    return pa.string()


def _value(value: Any) -> Any:  # noqa: ANN401 (any value of a row)
    if isinstance(value, (UUID,)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str, list, datetime)):
        return value
    return str(value)
