"""Decisions per second on one core, and the memory of a long stream of tasks.

python -m benchmarks.method.speed
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.method.results import save
from reasoner.chains import Chain
from reasoner.decisions import Linkage, Rules
from reasoner.equivalence import Relation, exact
from reasoner.merge import forward_merge
from reasoner.normal_forms import normal_number

ANSWERS = ("18", "18.0", "$18", "18", "18", "20", "26", "3.5", None)
SECONDS = 3.0


def tasks(k: int, n: int) -> list[list[Chain]]:
    """Return recorded-looking tasks: a favourite in three wordings, rivals, and chains without an answer."""
    rng = random.Random(0)
    return [
        [
            Chain(
                index=i,
                answer=rng.choice(ANSWERS),
                logprob=-rng.uniform(5, 60),
                n_tokens=rng.randint(40, 200),
            )
            for i in range(k)
        ]
        for _ in range(n)
    ]


def all_different(left: str, right: str) -> bool:
    """Say no, so that every pair of normal forms is asked: the most a relation can be asked."""
    return left == right


def rate(k: int, *, same: Relation, linkage: Linkage) -> float:
    """Return decisions per second of CPU time, the median of five runs."""
    batch, rules = tasks(k, 200), Rules(linkage=linkage)
    rates = []
    for _ in range(5):
        done, start = 0, time.process_time()
        while time.process_time() - start < SECONDS / 5:
            for chains in batch:
                forward_merge(chains, rules=rules, same=same, normalise=normal_number)
            done += len(batch)
        rates.append(done / (time.process_time() - start))
    return sorted(rates)[2]


def stream(n: int) -> Iterator[list[Chain]]:
    """Yield n tasks of eight chains, one at a time."""
    return itertools.islice(itertools.cycle(tasks(8, 500)), n)


def streamed(n: int) -> dict[str, float]:
    """Return what deciding n tasks one after another, each printed as JSON, took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, size = time.process_time(), 0
    for chains in stream(n):
        size += len(json.dumps(forward_merge(chains, normalise=normal_number).to_json()))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tasks": n,
        "cpu_s": time.process_time() - start,
        "written_mb": size / 1e6,
        "peak_growth_mb": (after - before) / 1024,
    }


def main() -> None:
    """Measure and save the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/method"))
    parser.add_argument("--stream", type=int, default=100_000, help="tasks of the long stream")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for k in (8, 64):
        rows.append({"k": k, "relation": "exact", "per_s": rate(k, same=exact, linkage="single")})
        linkages: tuple[Linkage, ...] = ("single", "guarded")
        rows += [
            {"k": k, "relation": f"asked, {name}", "per_s": rate(k, same=all_different, linkage=name)}
            for name in linkages
        ]
    for row in rows:
        print(row)
    machine = {"python": platform.python_version(), "cores": os.cpu_count() or 0}
    save(given.out, "speed", {"machine": machine, "rows": rows, "stream": streamed(given.stream)})


if __name__ == "__main__":
    main()
