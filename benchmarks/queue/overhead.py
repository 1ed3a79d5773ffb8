"""Tasks/s through the whole path against bare Celery no-ops on the same embedded broker, in one run.

The path has three stages (generate with the replay engine, verify.math against a reference, decide) with exact
equivalence, each with its rows, events and leases; a third of the no-op rate would be par if a stage cost no more
than a no-op message. With one and with two worker processes, and with a backlog ten times as large, which must not
make it slower. Run: python -m benchmarks.queue.overhead [--tasks 1500], then python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery
from sqlalchemy import text

from benchmarks.method.results import save
from benchmarks.queue.crew import K, crew, wait_until_done, write_recording, write_tasks
from db.migrate import migrate
from db.session import connect
from worker.app import make_app
from worker.embedded.services import Services
from worker.messages import GENERATE, encode
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.transactions import Store
from worker.submitting import submit

WARM_UP = 100
LARGER = 10
N_WORKERS = (1, 2)
THREADS = 4
USUAL_MESSAGE = 8

# Of the tasks in the order in which they were finished: tasks/s in the second tenth and in the last but one.
PACE = """
WITH placed AS (
    SELECT finished_at, ntile(10) OVER (ORDER BY finished_at) AS tenth FROM tasks WHERE batch_id = :batch
)
SELECT tenth,        count(*) / greatest(extract(epoch FROM max(finished_at) - min(finished_at)), 0.001) AS rate
FROM placed
WHERE tenth IN (2, 9) GROUP BY tenth ORDER BY tenth
"""


def noop_rates(state_dir: Path, *, n_messages: int, n_workers: int) -> tuple[float, float]:
    """Return no-op messages/s of bare workers, from publishing the first to the end; and with ten times as many."""
    with Services(state_dir, database_url="postgresql://none") as services:
        app = make_app(services.broker_url)
        with _noop_workers(services.broker_url, n_workers):
            _publish_and_drain(app, WARM_UP)  # connections and imports are paid here
            one = n_messages / _publish_and_drain(app, n_messages)
            return one, LARGER * n_messages / _publish_and_drain(app, LARGER * n_messages)


@contextmanager
def _noop_workers(broker_url: str, n_workers: int) -> Iterator[None]:
    command = [sys.executable, str(Path(__file__).with_name("noop.py")), str(THREADS)]
    environment = {**os.environ, "BROKER_URL": broker_url, "PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(n_workers)
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _publish_and_drain(app: Celery, n_messages: int) -> float:
    """Publish messages of one id each and return the seconds until the queue and the unacknowledged are empty."""
    began = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(n_messages):
            app.send_task(GENERATE, args=[encode([uuid4()])], queue=GENERATE, producer=producer, priority=4)
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel  # the stubs know AMQP's channels only
        client = channel.client
        while channel.queue_declare(GENERATE).message_count or client.hlen("unacked"):
            time.sleep(0.005)
    return time.perf_counter() - began


class WholePath:
    """The whole path on servers of its own, with so many workers and tasks a message."""

    def __init__(self, folder: Path, services: Services, recording: Path, *, message_tasks: int) -> None:
        self.settings = Settings(
            state_dir=folder / "workers",
            database_url=services.database_url,
            broker_url=services.broker_url,
            engine="replay",
            replay_file=recording,
            message_tasks=message_tasks,
            generate_threads=THREADS,
            log_level="WARNING",
        )
        self._folder = folder
        self.store: Store = connect(services.database_url)
        app = make_app(services.broker_url)
        self._publisher = CeleryPublisher(app, message_tasks=message_tasks)

    def rate(self, n_tasks: int) -> tuple[float, list[float]]:
        """Return tasks/s from the beginning of the submission to the last decision, and the pace early and late."""
        file = self._folder / f"tasks-{n_tasks}.jsonl"
        write_tasks(file, n_tasks)
        began = time.perf_counter()
        with file.open("rb") as stream:
            made = submit(
                self.store,
                self._publisher,
                stream,
                file=file.name,
                error_file=file.with_suffix(".errors"),
                settings=self.settings,
            )
        wait_until_done(self.store)
        seconds = time.perf_counter() - began
        with self.store.connect() as connection:
            paces = [float(row.rate) for row in connection.execute(text(PACE), {"batch": made.batch_id})]
            values = {"batch": made.batch_id}
            query = "SELECT count(*) FROM tasks WHERE batch_id = :batch AND state = 'answered'"
            assert connection.execute(text(query), values).scalar_one() == n_tasks
        return n_tasks / seconds, paces


def path_rates(
    folder: Path, recording: Path, *, n_tasks: int, n_workers: int, message_tasks: int
) -> dict[str, float]:
    """Return the rates of one setting; of the usual size of messages also with ten times as many tasks."""
    with Services(folder / "servers") as services:
        migrate(services.database_url)
        path = WholePath(folder, services, recording, message_tasks=message_tasks)
        with crew(path.settings, n_workers=n_workers):
            path.rate(WARM_UP)
            found = {
                "workers": n_workers,
                "tasks_per_message": message_tasks,
                "tasks_per_s": path.rate(n_tasks)[0],
            }
            if message_tasks == USUAL_MESSAGE:
                found["larger_tasks_per_s"], (found["early_per_s"], found["late_per_s"]) = path.rate(
                    LARGER * n_tasks
                )
        path.store.dispose()
    return {name: round(value) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1500)
    parser.add_argument("--message-tasks", type=int, nargs="+", default=[1, USUAL_MESSAGE, 64])
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    noops, paths = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = folder / "recording.jsonl"
        write_recording(recording)
        for n in N_WORKERS:
            one, larger = noop_rates(folder / f"noop{n}", n_messages=options.tasks, n_workers=n)
            noops.append({"workers": n, "messages_per_s": round(one), "larger_messages_per_s": round(larger)})
            print(noops[-1], flush=True)
            for message_tasks in options.message_tasks:
                own = folder / f"path{n}-{message_tasks}"
                own.mkdir()
                found = path_rates(
                    own, recording, n_tasks=options.tasks, n_workers=n, message_tasks=message_tasks
                )
                found["share_of_par"] = round(3 * found["tasks_per_s"] / noops[-1]["messages_per_s"], 2)
                paths.append(found)
                print(found, flush=True)
    numbers = {"tasks": options.tasks, "larger": LARGER, "chains_per_task": K, "noops": noops, "paths": paths}
    save(
        Path("build/queue"),
        "overhead",
        numbers | {"load_before": load_before, "load_after": os.getloadavg()[0]},
    )


if __name__ == "__main__":
    main()
