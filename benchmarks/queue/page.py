"""Put the measured numbers into docs/benchmarks.md, between its markers.

python -m benchmarks.queue.page
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.method.page import table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
NUMBERS = Path("build/queue")


def overhead(of: dict[str, Any]) -> str:
    """Return the table of the whole path against bare no-ops."""
    rows: list[list[object]] = [
        [f"Celery no-ops, {one['workers']} worker processes", f"{one['messages_per_s']} messages/s", "peer"]
        for one in of["noops"]
    ]
    rows += [
        [
            f"the path, {of['workers']} worker processes, {one['tasks_per_message']} tasks a message",
            f"{one['tasks_per_s']} tasks/s",
            f"{one['share_of_par']} of par",
        ]
        for one in of["paths"]
    ]
    head = f"{of['tasks']} tasks of {of['chains_per_task']} chains, load {of['load_before']:.1f}"
    return table([head, "rate", "against a third of the best no-op rate"], rows)


def submission(of: dict[str, Any]) -> str:
    """Return the table of submission against COPY."""
    return table(
        [f"{of['tasks']} lines of {of['bytes_per_line']} bytes, load {of['load_after']:.1f}", "value"],
        [
            ["validated, inserted with events, first window published", f"{of['submit_rows_per_s']} rows/s"],
            ["bare COPY of the same rows into a table like it", f"{of['copy_rows_per_s']} rows/s"],
            ["share of bare COPY (goal: 0.2)", of["share_of_copy"]],
            [
                "peak memory of the submitting process",
                f"{of['peak_mib']} MiB ({of['peak_before_mib']} before)",
            ],
        ],
    )


def recovery(of: dict[str, Any]) -> str:
    """Return the table of recovery times."""
    return table(
        [f"{of['kills']} workers killed, lease {of['lease_s']:g} s, load {of['load_before']:.1f}", "seconds"],
        [
            ["from kill -9 to the task's restart, median", of["median_s"]],
            ["the longest (goal: 15)", of["max_s"]],
        ],
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "overhead": overhead,
    "submission": submission,
    "recovery": recovery,
}


def main() -> None:
    """Fill the page from whatever numbers there are."""
    page = PAGE.read_text(encoding="utf-8")
    for name, render in TABLES.items():
        source = NUMBERS / f"{name}.json"
        if source.exists():
            marker = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            text = render(json.loads(source.read_text(encoding="utf-8")))
            page = marker.sub(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", page)  # type: ignore[misc]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
