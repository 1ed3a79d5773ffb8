"""Worker processes for the measurements: as many alike as are asked for, each doing every stage, and a clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from benchmarks.waiting import until
from db.models import IN_BACKLOG, UNDER_WAY
from worker.embedded import launch
from worker.settings import PREFIX, Settings
from worker.store.transactions import Store
from worker.supervisor import worker_environment

ROOT = Path(__file__).parents[2]
QUEUES = "generate,verify.math,decide,reconcile"
K = 8
PROMPT = "What is 6 times 7?"
IS_LEFT = f"SELECT EXISTS (SELECT 1 FROM tasks WHERE {IN_BACKLOG}) OR EXISTS (SELECT 1 FROM tasks WHERE {UNDER_WAY})"  # noqa: S608 (our own constants)


def write_recording(file: Path) -> None:
    """Write the chains that answer ``PROMPT``."""
    chains = [{"text": r"so \boxed{42}", "logprob": -1.0, "n_tokens": 5}] * K
    file.write_text(json.dumps({"prompt": PROMPT, "chains": chains}) + "\n", encoding="utf-8")


def write_tasks(file: Path, n_tasks: int, *, priority: int = 5, n_bytes: int = 0) -> None:
    """Write tasks that ask ``PROMPT`` and have its answer verified, each padded to ``n_bytes``."""
    with file.open("w", encoding="utf-8") as stream:
        for i in range(n_tasks):
            line = {
                "custom_id": f"task-{i:07}",
                "kind": "math",
                "prompt": PROMPT,
                "options": {"k": K, "equivalence": "exact", "early_exit": "none", "priority": priority},
                "verify": [{"verifier": "math", "reference": "42"}],
                "metadata": {"note": ""},
            }
            line["metadata"] = {"note": "." * (n_bytes - len(json.dumps(line)))}
            stream.write(json.dumps(line) + "\n")


@contextmanager
def crew(settings: Settings, *, n_workers: int) -> Iterator[None]:
    """Run ``n_workers`` workers and a clock for the length of the block; their log is in the state directory."""
    with ExitStack() as stack:
        waiting = []
        for name, queues in [*((f"worker-{i}", QUEUES) for i in range(n_workers)), ("beat", "beat")]:
            state_dir = settings.state_dir / name
            state_dir.mkdir(parents=True, exist_ok=True)
            ready = state_dir / "ready"
            environment = worker_environment(replace(settings, state_dir=state_dir), os.environ)
            log = stack.enter_context((state_dir / "log").open("ab"))
            command = [sys.executable, "-m", "cli.main", "worker", "--queues", queues]
            process = subprocess.Popen(
                [sys.executable, launch.__file__, str(os.getpid()), "9", "self", *command],  # ends when we do
                env=environment | {PREFIX + "READY_FILE": str(ready)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            if name != "beat":
                waiting.append(ready)
        until(lambda: all(ready.exists() for ready in waiting), "the workers are ready", patience_s=120)
        yield


def wait_until_done(store: Store, *, pause_s: float = 0.1) -> None:
    """Wait until no task is left; asks only the indexes of what is not finished."""
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(text(IS_LEFT)).scalar_one():
            time.sleep(pause_s)
