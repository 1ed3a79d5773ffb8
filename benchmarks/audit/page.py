"""Put the measured numbers into docs/audit.md, between their markers.

python -m benchmarks.audit.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
NUMBERS = Path("build/audit")


def queries(of: dict[str, Any]) -> str:
    """Return the table of the natural queries."""
    head = f"{of['decisions']:,} decisions, pages of 50, load {of['load']:.1f}"
    rows: list[list[object]] = [
        [name, one["p50"], one["p95"], one["max"]] for name, one in of["queries"].items()
    ]
    return "\n\n".join(
        [
            "`python -m benchmarks.audit.queries --folder F`: milliseconds in the asking process, "
            f"{of['rounds']} times each with values drawn from the record, in turns.",
            table([head, "median", "p95 (goal: 100)", "longest"], rows),
        ]
    )


def writes(of: dict[str, Any]) -> str:
    """Return the table of what entries cost to write."""
    rows: list[list[object]] = [
        [n, one["p50"], one["mean"], f"{one['bytes']:,}"] for n, one in of["writes"].items()
    ]
    head = [
        f"decisions of one transaction, load {of['load']:.1f}",
        "median ms of an entry",
        "mean",
        "bytes of log",
    ]
    return "`python -m benchmarks.audit.writes --folder F`, at the same ledger's end:\n\n" + table(head, rows)


TABLES: dict[str, Render] = {"queries": queries, "writes": writes}


if __name__ == "__main__":
    fill(PAGE, {name: (NUMBERS / f"{name}.json", render) for name, render in TABLES.items()})
