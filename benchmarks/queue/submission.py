"""Submission against a bare COPY of the same rows into the same table, in one run on the embedded Postgres.

Run: python -m benchmarks.queue.submission [--tasks 100000], then python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from benchmarks.method.results import save
from db.batches import TASK_COLUMNS
from db.migrate import migrate
from db.session import connect
from worker.app import make_app
from worker.embedded.services import Services
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.transactions import Store
from worker.submitting import submit

LINE_BYTES = 500
COLUMNS = ", ".join(TASK_COLUMNS)


def task_lines(n_tasks: int) -> Iterator[bytes]:
    """Yield code tasks of about 500 bytes each."""
    for i in range(n_tasks):
        line = {
            "custom_id": f"task-{i:07}",
            "kind": "code",
            "prompt": "",
            "options": {"k": 8, "min_confirmations": 1},
            "verify": [
                {"verifier": "code", "entry_point": "add", "tests": f"assert add({i}, 1) == {i + 1}\n" * 4}
            ],
            "domain": "python",
        }
        line["prompt"] = f"Write add(a, b), number {i}. ".ljust(LINE_BYTES - len(json.dumps(line)), ".")
        yield json.dumps(line).encode() + b"\n"


def submit_file(
    file: Path, database_url: str, broker_url: str, reply: multiprocessing.Queue[dict[str, float]]
) -> None:
    """Submit ``file`` as the command does, and reply with seconds and this process's peak memory."""
    settings = Settings(state_dir=file.parent, database_url=database_url, broker_url=broker_url)
    store = connect(database_url)
    publisher = CeleryPublisher(make_app(broker_url), message_tasks=settings.message_tasks)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with file.open("rb") as stream:
        submit(
            store,
            publisher,
            stream,
            file=file.name,
            error_file=file.with_suffix(".errors"),
            settings=settings,
        )
    reply.put(
        {
            "seconds": time.perf_counter() - began,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "before_mib": before_kib / 1024,
        }
    )


def copy_again(store: Store) -> float:
    """COPY the rows that stand in ``tasks`` into a table like it, from memory; return the seconds."""
    out = io.BytesIO()
    with store.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY tasks ({COLUMNS}) TO STDOUT") as copy:
            for block in copy:
                out.write(block)
        connection.execute(text("CREATE TABLE bare (LIKE tasks INCLUDING ALL)"))
        connection.execute(text("ALTER TABLE bare ADD FOREIGN KEY (batch_id) REFERENCES batches (id)"))
    content = out.getvalue()
    began = time.perf_counter()
    with store.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY bare ({COLUMNS}) FROM STDIN") as copy:
            for start in range(0, len(content), 1 << 20):
                copy.write(content[start : start + (1 << 20)])
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    n_tasks: int = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder, Services(Path(folder) / "state") as services:
        migrate(services.database_url)
        file = Path(folder) / "tasks.jsonl"
        with file.open("wb") as stream:
            stream.writelines(task_lines(n_tasks))
        context = multiprocessing.get_context(
            "spawn"
        )  # a process of its own, so that its peak memory is its own
        reply: multiprocessing.Queue[dict[str, float]] = context.Queue()
        process = context.Process(
            target=submit_file, args=(file, services.database_url, services.broker_url, reply)
        )
        process.start()
        measured = reply.get()
        process.join()
        store = connect(services.database_url)
        copy_s = copy_again(store)
        store.dispose()
        save(
            Path("build/queue"),
            "submission",
            {
                "tasks": n_tasks,
                "bytes_per_line": round(file.stat().st_size / n_tasks),
                "submit_rows_per_s": round(n_tasks / measured["seconds"]),
                "copy_rows_per_s": round(n_tasks / copy_s),
                "share_of_copy": round(copy_s / measured["seconds"], 3),
                "peak_mib": round(measured["peak_mib"]),
                "peak_before_mib": round(measured["before_mib"]),
                "load_after": os.getloadavg()[0],
            },
        )


if __name__ == "__main__":
    main()
