"""A long file through the command `merge`, as a process: tasks a second and the most memory it ever held.

python -m benchmarks.method.stream --tasks 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from benchmarks.method.results import save

ANSWERS = ("Paris", "paris.", "Paris", "Lyon", "Marseille", "the city of Lyon", None)
TEXT = (
    "Let us think. The question asks for a city of France, and what is known of it points to one of them. "
    * 3
)
SHAPES = 1_000  # different tasks; the file repeats them under names of their own


def shapes() -> list[dict[str, Any]]:
    """Return tasks of eight chains with logprobs: a favourite in three wordings, rivals, chains without an answer."""
    rng = random.Random(0)
    return [
        {
            "kind": "qa",
            "chains": [
                {
                    "text": TEXT,
                    "answer": rng.choice(ANSWERS),
                    "logprob": -round(rng.uniform(5, 60), 3),
                    "n_tokens": rng.randint(40, 200),
                }
                for _ in range(8)
            ],
        }
        for _ in range(SHAPES)
    ]


def write_tasks(path: Path, n: int) -> int:
    """Write n lines and return their size in bytes."""
    bodies = [json.dumps(shape)[1:] for shape in shapes()]
    with path.open("w", encoding="utf-8") as file:
        for i in range(n):
            file.write(f'{{"custom_id": "t{i}", {bodies[i % SHAPES]}\n')
    return path.stat().st_size


def merged(source: Path, target: IO[bytes]) -> dict[str, float]:
    """Run `merge` on the file; memory and CPU are of that process alone."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "merge", str(source)], stdout=target)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {
        "wall_s": time.monotonic() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }


def measured(n: int, folder: Path) -> dict[str, float]:
    """Return what n tasks took."""
    source, target = folder / "tasks.jsonl", folder / "decisions.jsonl"
    n_bytes = write_tasks(source, n)
    with target.open("wb") as file:
        found = merged(source, file)
    with target.open("rb") as file:
        n_lines = sum(1 for _ in file)
    assert n_lines == n, f"{n_lines} decisions for {n} tasks"
    sizes = {"read_mb": n_bytes / 1e6, "written_mb": target.stat().st_size / 1e6}
    return {"tasks": n, **found, **sizes}


def main() -> None:
    """Measure a short file and a long one, whose memory must be the same, and save the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/method"))
    parser.add_argument("--tasks", type=int, default=100_000, help="of the long file")
    given = parser.parse_args()
    rows = []
    for n in (min(1_000, given.tasks), min(10_000, given.tasks), given.tasks):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(n, Path(folder)))
        print(rows[-1])
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "own_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    save(given.out, "stream", {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
