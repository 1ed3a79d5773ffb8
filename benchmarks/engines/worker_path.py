"""Tokens/s of the worker's whole path against the same engine driven directly with the same requests, in one run.

    python -m benchmarks.engines.worker_path --engine vllm --model FOLDER_OR_NAME

The path: rows and ids are there, a Celery worker takes the messages from the broker, samples, and writes the rows.
Directly: all requests are handed to the engine at once. Both are run in turn, several times, on one loaded model,
so that what else the machine does hits both. How long the path is before the engine has its first request and after it
gave its last chain is told apart from what the engine loses meanwhile.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from celery.worker import WorkController
from sqlalchemy import text

from benchmarks.method.results import save
from db.migrate import migrate
from db.session import connect
from worker import generation
from worker.app import make_app
from worker.embedded.services import Services
from worker.engines.protocol import ChainRequest, Engine, SampledChain
from worker.engines.registry import build_engine
from worker.generation import engine_options
from worker.health import Ears
from worker.messages import GENERATE, RECONCILE
from worker.publisher import CeleryPublisher
from worker.roles import open_workplace, register
from worker.sampling import requests_of
from worker.settings import Settings
from worker.store.transactions import Store, statements
from worker.submission.lines import TaskLine
from worker.submitting import submit

# The end is read from the events, so that asking seldom (each question takes from the engine's cores) costs nothing.
WRITTEN = text("""
SELECT count(*) AS n, sum(t.tokens_spent) AS tokens, extract(epoch FROM max(e.at)) AS ended_at
FROM tasks t JOIN task_events e ON e.task_id = t.id AND e.to_state = 'deciding' WHERE t.batch_id = :batch
""")
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pass of all tasks through the queue."""

    n_tokens: int
    seconds: float
    """From the beginning of the submission to the last row."""

    before_s: float
    """Until the engine was asked for the first chain."""

    after_s: float
    """Since it gave the last one."""

    @property
    def rate(self) -> float:
        """Tokens/s of the whole path."""
        return self.n_tokens / self.seconds

    @property
    def rate_within(self) -> float:
        """Tokens/s between the first request and the last chain."""
        return self.n_tokens / (self.seconds - self.before_s - self.after_s)


Send = Callable[[list[TaskLine]], Run]

K = 8
SUBJECTS = ("a lighthouse", "the number seven", "rust", "a queue", "bread", "the sea", "a bridge", "time")


def main() -> None:
    """Measure, print and save."""
    given = _arguments()
    load_before = os.getloadavg()[0]
    settings = replace(
        Settings.from_env(os.environ),
        engine=given.engine,
        model=given.model,
        parallel_chains=given.parallel,
        log_level="ERROR",
    )
    engine = build_engine(given.engine, engine_options(settings, os.environ))
    lines = [_line(i, max_tokens=given.max_tokens) for i in range(given.tasks)]
    with closing(engine):
        direct: list[float] = []
        runs: list[Run] = []
        with _queue(engine, settings) as send:
            _directly(engine, lines[:2])  # the first runs compile, connect and import
            send([_line(0, max_tokens=1)])
            for _ in range(given.rounds):
                direct.append(_directly(engine, lines))
                _forget_prefixes(engine)
                runs.append(send(lines))
                print(f"directly {direct[-1]:.1f} tok/s, by the worker {runs[-1].rate:.1f} tok/s", flush=True)
        path = [run.rate for run in runs]
        numbers: dict[str, Any] = {
            "engine": given.engine,
            "model": Path(given.model).name,
            "tasks": given.tasks,
            "chains_per_task": K,
            "max_tokens": given.max_tokens,
            "parallel": given.parallel,
            "load_before": round(load_before, 1),
            "direct_tok_s": [round(rate, 1) for rate in direct],
            "worker_tok_s": [round(rate, 1) for rate in path],
            "share": round(sum(path) / sum(direct), 3),
            "share_by_round": [round(p / d, 3) for p, d in zip(path, direct, strict=True)],
            "share_within": round(sum(run.rate_within for run in runs) / sum(direct), 3),
            "before_s": round(median(run.before_s for run in runs), 2),
            "after_s": round(median(run.after_s for run in runs), 2),
            "run_s": round(median(run.seconds for run in runs), 1),
        }
    print(json.dumps(numbers, indent=1))
    save(given.out, f"worker_path_{given.engine}", numbers)


def _line(number: int, *, max_tokens: int) -> TaskLine:
    return TaskLine.model_validate(
        {
            "custom_id": str(number),
            "kind": "text",
            "prompt": f"Write a story about {SUBJECTS[number % len(SUBJECTS)]}, part {number}.",
            "options": {"k": K, "max_tokens": max_tokens, "early_exit": "none"},
        }
    )


def _directly(engine: Engine, lines: list[TaskLine]) -> float:
    """Return tokens/s when every request is there at once."""
    _forget_prefixes(engine)
    jobs = [(line.custom_id, requests_of(line.custom_id, line)) for line in lines]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        n_tokens = sum(pool.map(lambda job: _count(engine, *job), jobs))
    return n_tokens / (time.perf_counter() - began)


def _count(engine: Engine, name: str, requests: list[ChainRequest]) -> int:
    return sum(chain.n_tokens for chain in engine.sample(name, requests))


@contextmanager
def _queue(engine: Engine, settings: Settings) -> Iterator[Send]:
    """Run the servers and a generation worker with this engine; yield what sends lines and waits for their rows."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = stack.enter_context(Services(folder))
        migrate(services.database_url)
        mine = replace(
            settings,
            database_url=services.database_url,
            broker_url=services.broker_url,
            message_tasks=1,
            generate_threads=8,
        )
        app = make_app(services.broker_url)
        queues = [GENERATE, RECONCILE]  # a submission wakes the reconciler, which hands out the tasks
        n_threads = mine.generate_threads + 1
        place = open_workplace(app, mine, queues=queues, ears=Ears(n_threads))
        stack.enter_context(place.closing)
        shared = _Shared(engine)
        with patch.object(generation, "build_engine", lambda *_: shared):
            register(place, queues)
        ready = threading.Event()
        worker = WorkController(
            app=app,
            pool_cls="threads",
            concurrency=n_threads,
            queues=queues,
            loglevel="ERROR",
            ready_callback=lambda _: ready.set(),
        )
        thread = threading.Thread(target=worker.start, daemon=True)
        store = connect(services.database_url)
        stack.callback(store.dispose)
        thread.start()
        ready.wait()
        publisher = CeleryPublisher(app, message_tasks=1)
        yield partial(_through_the_queue, store, publisher, mine, folder, engine=shared)
        worker.stop()
        thread.join(timeout=30)


def _through_the_queue(
    store: Store,
    publisher: CeleryPublisher,
    settings: Settings,
    folder: Path,
    lines: list[TaskLine],
    *,
    engine: _Shared,
) -> Run:
    """Submit a batch and wait until its last task is written."""
    content = "\n".join(line.model_dump_json(exclude_unset=True) for line in lines).encode()
    engine.times.clear()
    began_at = time.time()  # of the same clock as Postgres's
    made = submit(
        store,
        publisher,
        io.BytesIO(content),
        file="tasks.jsonl",
        error_file=folder / "errors.jsonl",
        settings=settings,
        key=str(uuid4()),  # the same lines are a new batch
    )
    while True:
        with statements(store) as connection:
            row = connection.execute(WRITTEN, {"batch": made.batch_id}).one()
        if row.n == len(lines):
            return Run(
                n_tokens=int(row.tokens),
                seconds=float(row.ended_at) - began_at,
                before_s=min(engine.times) - began_at,
                after_s=float(row.ended_at) - max(engine.times),
            )
        time.sleep(POLL_S)


class _Shared:
    """An engine that the worker must not close; notes when it was asked and when it gave chains."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.times: list[float] = []

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Iterator[SampledChain]:
        self.times.append(time.time())
        for chain in self._engine.sample(task_id, requests):
            self.times.append(time.time())
            yield chain

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def close(self) -> None:
        """Leave it open for the next round."""


def _forget_prefixes(engine: Any) -> None:  # noqa: ANN401 - reaches inside
    if engine.name == "vllm":
        engine._loop.start(engine._engine.reset_prefix_cache()).result()  # noqa: SLF001 - measured, not used


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("build/engines"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
