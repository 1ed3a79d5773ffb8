"""Put the measured numbers into docs/benchmarks.md, between its markers.

python -m benchmarks.queue.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
NUMBERS = Path("build/queue")


def overhead(of: dict[str, Any]) -> str:
    """Return the table of the whole path against bare no-ops, and of what a larger backlog changes."""
    rows: list[list[object]] = [
        [f"Celery no-ops, {_workers(one)}", one["messages_per_s"], "peer", one["larger_messages_per_s"], "-"]
        for one in of["noops"]
    ]
    rows += [
        [
            f"the path, {_workers(one)}, {one['tasks_per_message']} a message",
            one["tasks_per_s"],
            one["share_of_par"],
            one.get("larger_tasks_per_s", "-"),
            f"{one['early_per_s']} and {one['late_per_s']}" if "early_per_s" in one else "-",
        ]
        for one in of["paths"]
    ]
    head = f"{of['tasks']} tasks of {of['chains_per_task']} chains, load {of['load_before']:.1f}"
    larger = f"with {of['larger']} times as many, per second"
    return table([head, "per second", "share of par", larger, "of those, early and late"], rows)


def _workers(one: dict[str, Any]) -> str:
    return "1 worker process" if one["workers"] == 1 else f"{one['workers']} worker processes"


def submission(of: dict[str, Any]) -> str:
    """Return the table of submission against COPY."""
    return table(
        [f"{of['tasks']} lines of {of['bytes_per_line']} bytes, load {of['load_after']:.1f}", "value"],
        [
            ["validated, inserted with events, while workers run", f"{of['submit_rows_per_s']} rows/s"],
            ["bare COPY of the same rows into a table like it", f"{of['copy_rows_per_s']} rows/s"],
            ["share of bare COPY (goal: 0.2)", of["share_of_copy"]],
            [
                "peak memory of the submitting process",
                f"{of['peak_mib']} MiB ({of['peak_before_mib']} before)",
            ],
            ["from the end of the submission to the first task's start", f"{of['first_start_s']} s"],
            [
                f"{of['n_urgent']} urgent tasks of the same tenant, submitted right after: all decided in",
                f"{of['urgent_same_tenant_s']} s",
            ],
            [
                f"{of['n_urgent']} usual tasks of another tenant after those: all decided in",
                f"{of['small_other_tenant_s']} s",
            ],
            [
                "memory of the broker before, after, and at most",
                f"{of['broker_before_mib']}, {of['broker_after_mib']}, {of['broker_peak_mib']} MiB",
            ],
        ],
    )


def statements(of: dict[str, Any]) -> str:
    """Return the table of statements per task."""
    stages = list(dict.fromkeys(row["stage"] for row in of["rows"]))
    sizes = list(dict.fromkeys(row["tasks_per_message"] for row in of["rows"]))
    cost = {(row["stage"], row["tasks_per_message"]): row["statements"] for row in of["rows"]}
    rows = [[stage, *(cost[stage, size] for size in sizes)] for stage in stages]
    total = ["all", *(round(sum(cost[stage, size] for stage in stages), 2) for size in sizes)]
    head = f"statements per task ({of['chains_per_task']} chains)"
    return table([head, *(f"{size} a message" for size in sizes)], [*rows, total])


def plans(of: dict[str, Any]) -> str:
    """Return the table of the hot statements' plans."""
    rows = [
        [row["every"], row["statement"], row["ms"], row["pages"], "yes" if row["good"] else "NO"]
        for row in of["statements"]
    ]
    head = f"{of['tasks']} tasks on record, {of['unfinished']} of them unfinished"
    return table(["every", head, "ms", "pages of 8 KiB", "by index only"], rows)


def recovery(of: dict[str, Any]) -> str:
    """Return the table of recovery times."""
    return table(
        [f"{of['kills']} workers killed, lease {of['lease_s']:g} s, load {of['load_before']:.1f}", "seconds"],
        [
            ["from kill -9 to the task's restart, median", of["median_s"]],
            ["the longest (goal: 15)", of["max_s"]],
        ],
    )


TABLES: dict[str, Render] = {
    "overhead": overhead,
    "submission": submission,
    "recovery": recovery,
    "statements": statements,
    "plans": plans,
}


if __name__ == "__main__":
    fill(PAGE, {name: (NUMBERS / f"{name}.json", render) for name, render in TABLES.items()})
