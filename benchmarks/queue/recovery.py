"""Seconds from ``kill -9`` of a worker until somebody else takes up what it was at.

Run: python -m benchmarks.queue.recovery [--kills 5], then python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.method.results import save
from benchmarks.soak.plant import Plant
from benchmarks.soak.run import submit_file
from benchmarks.soak.worker import SLOW
from benchmarks.waiting import until
from worker.store.transactions import Store

LEASE_S = 10.0
HELD = "SELECT holder, now() AS at FROM tasks WHERE state = 'generating' AND lease_until > now() LIMIT 1"
AGAIN = "SELECT at FROM task_events WHERE why LIKE 'taken again%' AND at > :since ORDER BY at LIMIT 1"


def recovery_s(plant: Plant, store: Store, file: Path) -> float:
    """Kill the worker that holds the task of ``file`` and return the seconds until somebody took it again."""
    submit_file(plant, "default", file)
    until(lambda: _rows(store, HELD), "somebody holds the task", patience_s=60)
    ((holder, _),) = _rows(store, HELD)
    victim = next(p.popen for p in plant.processes.values() if str(p.popen.pid) == holder.rpartition("/")[2])
    victim.kill()
    ((killed_at,),) = _rows(store, "SELECT now()")
    while not (again := _rows(store, AGAIN, since=killed_at)):
        plant.look_after()
        time.sleep(0.1)
    until(
        lambda: not _rows(store, "SELECT 1 FROM tasks WHERE finished_at IS NULL"),
        "its decision",
        patience_s=90,
    )
    return float((again[0].at - killed_at).total_seconds())


def _rows(store: Store, statement: str, **values: object) -> list[Any]:
    with store.connect() as connection:
        return list(connection.execute(text(statement), values))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    n_kills: int = parser.parse_args().kills
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = folder / "recording.jsonl"
        chains = [{"text": r"\boxed{1}", "logprob": -1.0, "n_tokens": 1}] * 2
        recording.write_text(json.dumps({"prompt": f"{SLOW} 1", "chains": chains}) + "\n", encoding="utf-8")
        with Plant(folder, recording=recording, lease_s=LEASE_S, max_deliveries=3) as plant:
            plant.start_workers()
            store = plant.store()
            seconds = []
            for i in range(n_kills):
                file = folder / f"task-{i}.jsonl"
                line = {"custom_id": str(i), "kind": "math", "prompt": f"{SLOW} 1", "options": {"k": 2}}
                file.write_text(json.dumps(line) + "\n", encoding="utf-8")
                seconds.append(recovery_s(plant, store, file))
            store.dispose()
    save(
        Path("build/queue"),
        "recovery",
        {
            "kills": n_kills,
            "lease_s": LEASE_S,
            "median_s": round(statistics.median(seconds), 1),
            "max_s": round(max(seconds), 1),
            "load_before": load_before,
        },
    )


if __name__ == "__main__":
    main()
