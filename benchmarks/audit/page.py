"""Put the measured numbers into docs/audit.md, between their markers.

python -m benchmarks.audit.page
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.method.page import table

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


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"queries": queries}


def main() -> None:
    """Fill the page from whatever numbers there are."""
    page = PAGE.read_text(encoding="utf-8")
    for name, render in TABLES.items():
        source = NUMBERS / f"{name}.json"
        if source.exists():
            marker = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            told = render(json.loads(source.read_text(encoding="utf-8")))
            page = marker.sub(lambda found, told=told: f"{found[1]}\n{told}\n\n{found[2]}", page)  # type: ignore[misc]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
