"""Tasks/s through the whole path against bare Celery no-ops on the same embedded broker, in one run.

The path has three stages (generate with the replay engine, verify.math against a reference, decide) with exact
equivalence, each with its rows, events and leases; a third of the no-op rate would be par if a stage cost no more
than a no-op message. Run: python -m benchmarks.queue.overhead [--tasks 4000], then python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks.method.results import save
from db.session import connect
from worker.app import make_app
from worker.embedded.services import Services
from worker.messages import GENERATE, encode
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.batches import get_batch
from worker.submitting import submit
from worker.supervisor import ROLES, Supervisor

K = 8
PROMPT = "What is 6 times 7?"
WARM_UP = 200


def noop_rate(state_dir: Path, *, n_messages: int, n_workers: int, threads: int) -> float:
    """Return no-op messages/s of ``n_workers`` bare workers, from publishing's end to the last one taken."""
    with Services(state_dir, database_url="postgresql://none") as services:
        app = make_app(services.broker_url)
        with _noop_workers(services.broker_url, n_workers, threads):
            _publish_and_drain(app, WARM_UP)  # connections and imports are paid here
            return n_messages / _publish_and_drain(app, n_messages)


@contextmanager
def _noop_workers(broker_url: str, n_workers: int, threads: int) -> Iterator[None]:
    command = [sys.executable, str(Path(__file__).with_name("noop.py")), str(threads)]
    environment = {**os.environ, "BROKER_URL": broker_url, "PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [
        subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(n_workers)
    ]
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _publish_and_drain(app: object, n_messages: int) -> float:
    """Publish messages of one id each and return the seconds until the queue and the unacknowledged are empty."""
    began = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:  # type: ignore[attr-defined]  # a Celery app
        for _ in range(n_messages):
            app.send_task(GENERATE, args=[encode([uuid4()])], queue=GENERATE, producer=producer, priority=4)  # type: ignore[attr-defined]
    with app.connection_for_read() as connection:  # type: ignore[attr-defined]
        client = connection.default_channel.client
        while connection.default_channel.queue_declare(GENERATE).message_count or client.hlen("unacked"):
            time.sleep(0.005)
    return time.perf_counter() - began


def path_rate(state_dir: Path, recording: Path, *, n_tasks: int, message_tasks: int) -> float:
    """Return tasks/s from the beginning of the submission to the last decision."""
    settings = Settings(
        state_dir=state_dir,
        engine="replay",
        replay_file=recording,
        message_tasks=message_tasks,
        publish_window=20_000,
        log_level="WARNING",
    )
    with Supervisor(settings) as supervisor:
        running = supervisor.settings
        assert running.database_url is not None
        assert running.broker_url is not None
        store = connect(running.database_url)
        publisher = CeleryPublisher(make_app(running.broker_url), message_tasks=message_tasks)
        rate = 0.0
        for n in (WARM_UP, n_tasks):
            file = state_dir / f"tasks-{n}.jsonl"
            _write_tasks(file, n)
            began = time.perf_counter()
            with file.open("rb") as stream:
                made = submit(store, publisher, stream, file=file.name, error_file=file, settings=running)
            while True:
                batch = get_batch(store, made.batch_id, tenant=running.tenant)
                if batch is not None and batch.is_finished:
                    break
                time.sleep(0.05)
            rate = n / (time.perf_counter() - began)
            assert batch.states == {"answered": n}, batch.states
        store.dispose()
    return rate


def _write_tasks(file: Path, n_tasks: int) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for i in range(n_tasks):
            line = {
                "custom_id": str(i),
                "kind": "math",
                "prompt": PROMPT,
                "options": {"k": K, "equivalence": "exact", "early_exit": "none"},
                "verify": [{"verifier": "math", "reference": "42"}],
            }
            stream.write(json.dumps(line) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--message-tasks", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    threads = 2
    load_before = os.getloadavg()[0]
    n_workers = len([role for role in ROLES if role != "beat"])
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.jsonl"
        chains = [{"text": r"so \boxed{42}", "logprob": -1.0, "n_tokens": 5}] * K
        recording.write_text(json.dumps({"prompt": PROMPT, "chains": chains}) + "\n", encoding="utf-8")
        found: dict[str, object] = {"tasks": options.tasks, "chains_per_task": K, "workers": n_workers}
        noops = {
            n: noop_rate(Path(folder) / f"noop{n}", n_messages=options.tasks, n_workers=n, threads=threads)
            for n in (1, n_workers)
        }
        found["noops"] = [{"workers": n, "messages_per_s": round(rate)} for n, rate in noops.items()]
        par = max(noops.values()) / 3
        paths: list[dict[str, float]] = []
        found["paths"] = paths
        for message_tasks in options.message_tasks:
            rate = path_rate(
                Path(folder) / f"path{message_tasks}",
                recording,
                n_tasks=options.tasks,
                message_tasks=message_tasks,
            )
            paths.append(
                {
                    "tasks_per_message": message_tasks,
                    "tasks_per_s": round(rate),
                    "share_of_par": round(rate / par, 2),
                }
            )
    found["load_before"], found["load_after"] = load_before, os.getloadavg()[0]
    save(Path("build/queue"), "overhead", found)


if __name__ == "__main__":
    main()
