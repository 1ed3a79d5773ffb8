"""How many decisions a second are replayed, in one process and in several.

On a ledger that is there (benchmarks/ledger), or on tasks drawn at random and decided here. Run:
python -m benchmarks.replay.measure --database URL --tenant NAME --most 200000 --out build/replay
python -m benchmarks.replay.measure --out build/replay
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.method.results import save
from benchmarks.pages import fill, table
from db.session import connect
from tests.golden import system
from tests.golden_lines import drawn_lines
from worker.replay_pool import replay_all
from worker.store.replays import Selection
from worker.store.transactions import Store

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
FEW = 500  # tasks of one submission


def measure(store: Store, tenant: str, *, processes: int, most: int) -> dict[str, Any]:
    """Replay until ``most`` decisions are through, and return the rate and what they came to."""
    started, n, n_others = time.perf_counter(), 0, {"different": 0, "unreplayable": 0}
    with closing(replay_all(store, Selection(tenant=tenant), processes=processes)) as pages:
        for page in pages:
            n += page.n_decisions
            for one in page.others:
                n_others[one.result] += 1
            if n >= most:
                break
    seconds = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "processes": processes,
        "decisions": n,
        "decisions/s": n / seconds,
        "peak MiB of a process": peak / 1024,
        **n_others,
    }


@contextmanager
def ledger(given: argparse.Namespace) -> Iterator[Store]:
    """Open the ledger that is named, or make one."""
    if given.database is not None:
        store = connect(given.database)
        yield store
        store.dispose()
        return
    with tempfile.TemporaryDirectory() as folder, system(Path(folder)) as running:
        for seed in range(given.n // FEW):
            running.run(*drawn_lines(FEW, seed=seed))
        yield running.desk.store


def page(of: dict[str, Any]) -> str:
    """Return the table."""
    rows: list[list[object]] = [
        [
            one["processes"],
            one["decisions"],
            f"{one['decisions/s']:.0f}",
            f"{one['peak MiB of a process']:.0f}",
            one["different"],
            one["unreplayable"],
        ]
        for one in of["runs"]
    ]
    head = ["processes", "decisions", "decisions/s", "peak MiB of a process", "different", "unreplayable"]
    return (
        f"`python -m benchmarks.replay.measure`, {of['cores']} cores, load {of['load']:.1f}; of each decision its "
        "chains, verdicts, clusters and calibration are read, and starting the processes is in it.\n\n"
        + table(head, rows)
    )


def main() -> None:
    """Measure, save, and put the table into docs/audit.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a ledger that is there")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--n", type=int, default=4000, help="tasks to draw where no ledger is named")
    parser.add_argument("--most", type=int, default=200_000, help="decisions replayed in each run")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("build/replay"))
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with ledger(given) as store:
        runs = [measure(store, given.tenant, processes=n, most=given.most) for n in given.processes]
    numbers = {"runs": runs, "cores": os.cpu_count(), "load": load}
    save(given.out, "replay", numbers)
    print(json.dumps(numbers))
    fill(PAGE, {"replay": (given.out / "replay.json", page)})


if __name__ == "__main__":
    main()
