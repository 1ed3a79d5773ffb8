"""A million tasks submitted while workers run, against a bare COPY of the same rows into the same kind of table.

Also: the submitter's peak memory, when the first task starts, what is in the broker, and how soon small urgent batches
that come afterwards are done. Run: python -m benchmarks.queue.submission [--tasks 1000000], then
python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from benchmarks.method.results import save
from benchmarks.queue.crew import crew, write_recording, write_tasks
from db.batches import TASK_COLUMNS
from db.migrate import migrate
from db.session import connect
from worker.app import make_app
from worker.embedded.services import Services
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.batches import get_batch
from worker.store.transactions import Store
from worker.submitting import Submission, submit

LINE_BYTES = 500
COLUMNS = ", ".join(TASK_COLUMNS)
N_WORKERS = 2
N_URGENT = 20
MIB = 1 << 20
STARTED = "SELECT 1 FROM tasks WHERE state IN ('generating', 'verifying', 'deciding') LIMIT 1"


def submit_file(file: Path, settings: Settings) -> Submission:
    """Submit ``file`` as the command does."""
    assert settings.database_url is not None
    assert settings.broker_url is not None
    store = connect(settings.database_url)
    publisher = CeleryPublisher(make_app(settings.broker_url), message_tasks=settings.message_tasks)
    with file.open("rb") as stream:
        made = submit(
            store,
            publisher,
            stream,
            file=file.name,
            error_file=file.with_suffix(".errors"),
            settings=settings,
        )
    store.dispose()
    return made


def measured_submission(file: Path, settings: Settings, reply: multiprocessing.Queue[dict[str, Any]]) -> None:
    """Submit ``file`` in a process of its own, and reply with seconds and its peak memory."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    made = submit_file(file, settings)
    reply.put(
        {
            "batch": made.batch_id,
            "seconds": time.perf_counter() - began,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "before_mib": before_kib / 1024,
        }
    )


def copy_again(store: Store, file: Path) -> float:
    """COPY the rows that stand in ``tasks`` into a table like it, from a file; return the seconds."""
    with store.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY tasks ({COLUMNS}) TO STDOUT") as copy, file.open("wb") as out:
            for block in copy:
                out.write(block)
        connection.execute(text("CREATE TABLE bare (LIKE tasks INCLUDING ALL)"))
        connection.execute(text("ALTER TABLE bare ADD FOREIGN KEY (batch_id) REFERENCES batches (id)"))
    began = time.perf_counter()
    with store.begin() as connection, file.open("rb") as stream:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY bare ({COLUMNS}) FROM STDIN") as copy:
            while block := stream.read(MIB):
                copy.write(block)
    return time.perf_counter() - began


def wait_for_start(store: Store) -> float:
    """Wait until a task is at work or beyond and return the time."""
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text(STARTED)).first():
            time.sleep(0.02)
    return time.perf_counter()


def urgent_s(store: Store, folder: Path, settings: Settings, *, tenant: str, priority: int) -> float:
    """Return the seconds in which a small batch of ``tenant`` is done, from the beginning of its submission."""
    file = folder / f"urgent-{tenant}.jsonl"
    write_tasks(file, N_URGENT, priority=priority)
    began = time.perf_counter()
    made = submit_file(file, replace(settings, tenant=tenant))
    while not (batch := get_batch(store, made.batch_id, tenant=tenant)) or not batch.is_finished:
        time.sleep(0.05)
    return time.perf_counter() - began


def memory_mib(broker: redis.Redis) -> dict[str, float]:
    """Return what the broker holds, now and at most, in MiB."""
    told: Any = broker.info("memory")
    return {name: round(told[name] / MIB, 1) for name in ("used_memory", "used_memory_peak")}


def measure(folder: Path, n_tasks: int) -> dict[str, Any]:
    """Return everything that was measured."""
    file, recording = folder / "tasks.jsonl", folder / "recording.jsonl"
    write_tasks(file, n_tasks, n_bytes=LINE_BYTES)
    write_recording(recording)
    with Services(folder / "servers") as services:
        migrate(services.database_url)
        settings = Settings(
            state_dir=folder / "workers",
            database_url=services.database_url,
            broker_url=services.broker_url,
            engine="replay",
            replay_file=recording,
            log_level="WARNING",
        )
        store, broker = connect(services.database_url), redis.Redis.from_url(services.redis_url)
        with crew(settings, n_workers=N_WORKERS):
            before = memory_mib(broker)
            context = multiprocessing.get_context(
                "spawn"
            )  # a process of its own, so that its memory is its own
            reply: multiprocessing.Queue[dict[str, Any]] = context.Queue()
            process = context.Process(target=measured_submission, args=(file, settings, reply))
            process.start()
            measured = reply.get()
            ended = time.perf_counter()
            started_s = wait_for_start(store) - ended
            process.join()
            same = urgent_s(store, folder, settings, tenant=settings.tenant, priority=9)
            other = urgent_s(store, folder, settings, tenant="another", priority=5)
            after = memory_mib(broker)
        copy_s = copy_again(store, folder / "rows.copy")
        store.dispose()
    return {
        "tasks": n_tasks,
        "bytes_per_line": round(file.stat().st_size / n_tasks),
        "workers": N_WORKERS,
        "submit_rows_per_s": round(n_tasks / measured["seconds"]),
        "copy_rows_per_s": round(n_tasks / copy_s),
        "share_of_copy": round(copy_s / measured["seconds"], 3),
        "peak_mib": round(measured["peak_mib"]),
        "peak_before_mib": round(measured["before_mib"]),
        "submit_s": round(measured["seconds"], 1),
        "first_start_s": round(max(0.0, started_s), 2),
        "n_urgent": N_URGENT,
        "urgent_same_tenant_s": round(same, 1),
        "small_other_tenant_s": round(other, 1),
        "broker_before_mib": before["used_memory"],
        "broker_after_mib": after["used_memory"],
        "broker_peak_mib": after["used_memory_peak"],
        "load_after": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    n_tasks: int = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), n_tasks)
    print(found)
    save(Path("build/queue"), "submission", found)


if __name__ == "__main__":
    main()
