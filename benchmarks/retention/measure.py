"""How long the upkeep of a record takes: sorting into months, pruning, export, import, backup and restore.

    python -m benchmarks.retention.measure --tasks 100000

Fills a database of its own in the embedded Postgres, and prints a table for docs/audit.md. What the queue feels of it
is the longest time that writing a task and a chain took while a step ran.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, create_engine, text
from uuid_utils.compat import uuid7

from db.migrate import migrate
from db.retention import EVIDENCE
from worker.backup import back_up, restore
from worker.embedded.services import Services
from worker.months import Month, id_at, month_of
from worker.pruning import prune
from worker.store.exporting import Wanted
from worker.store.partitions import make_partitions
from worker.store.pruning import Rule
from worker.transfer import export, import_file

N_MONTHS = 6  # before the present one, with equal shares
N_CHAINS = 4
FIRST = "00000000-0000-7000-8000-000000000001"

FILL = (
    """
INSERT INTO tasks (id, batch_id, custom_id, kind, mode, domain, spec, state, created_at, finished_at)
SELECT id, :batch, id, 'math', 'merge', 'math',
       '{"custom_id"\\: "x", "kind"\\: "math", "prompt"\\: "What is 1 + 1?"}', 'answered', :at, :at
FROM unnest(CAST(:ids AS uuid[])) id
""",
    """
INSERT INTO chains (task_id, index, text, answer, logprob, n_tokens, finish_reason, model, revision, prompt_variant,
                    engine, attempt)
SELECT id, i, repeat('because ', 60), '2', -1.5, 120, 'stop', 'm', 'r', 'plain', 'replay', 1
FROM unnest(CAST(:ids AS uuid[])) id, generate_series(0, :n_chains - 1) i
""",
    """
INSERT INTO verdicts (task_id, candidate, verifier, version, outcome, reason, claim, evidence, limits, elapsed_s,
                      attempt)
SELECT id, 'answer\\:0', 'math', '1', 'confirmed', 'equal', '{}', '{}', '{}', 0.1, 1
FROM unnest(CAST(:ids AS uuid[])) id
""",
    """
INSERT INTO task_events (task_id, to_state, who)
SELECT id, state, 'fill' FROM unnest(CAST(:ids AS uuid[])) id, unnest(ARRAY['queued', 'generating', 'answered']) state
""",
    """
INSERT INTO decisions (id, task_id, answer, abstain_flag, abstain_reasons, confidence, vote_margin, set_size, document,
                       calibration_id, configuration, code_version, attempt, created_at)
SELECT id, id, '2', false, '[]', 0.9, 1, 1, '{"answer"\\: "2", "abstain_reasons"\\: [], "clusters"\\: []}',
       :calibration, 'c', '1', 1, :at
FROM unnest(CAST(:ids AS uuid[])) id
""",
)


@dataclass(slots=True)
class Queue:
    """A queue's worker that writes a chain every ten milliseconds and tells how long it had to wait."""

    engine: Engine
    task: UUID
    longest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until stopped."""
        i = 0
        while not self._stop.wait(0.01):
            began = time.monotonic()
            with self.engine.begin() as connection:
                connection.execute(
                    text("UPDATE tasks SET deliveries = deliveries WHERE id = :id"), {"id": self.task}
                )
                connection.execute(text(ONE_CHAIN), {"id": self.task, "i": i})
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            i += 1

    def stop(self) -> None:
        """Write no more."""
        self._stop.set()


ONE_CHAIN = """
INSERT INTO chains (task_id, index, text, finish_reason, model, revision, prompt_variant, engine, attempt)
VALUES (:id, :i, 'x', 'stop', 'm', 'r', 'plain', 'replay', 1)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=100_000)
    n_tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder, Services(Path(folder) / "state") as services:
        measure(services.database_url, Path(folder), n_tasks)


def measure(url: str, folder: Path, n_tasks: int) -> None:
    """Fill, and time each step on what the one before it left."""
    now = datetime.now(UTC)
    migrate(url)
    engine = create_engine(url)
    fill(engine, n_tasks, now)
    n_rows = n_tasks * (N_CHAINS + 1 + 3)
    print(f"{n_tasks} tasks of {N_MONTHS} months, {n_rows} rows of chains, verdicts and events\n")
    print("| step | s | per second | longest wait of the queue, s |\n|---|---|---|---|")
    row("sort into months (rows)", n_rows, engine, lambda: make_partitions(engine, now=now), now)
    row(
        "export (tasks)",
        n_tasks,
        engine,
        lambda: export(engine, Wanted(tenant="default"), folder / "l.gz"),
        now,
    )
    row("backup (tasks)", n_tasks, engine, lambda: back_up(url, folder / "backup"), now)
    third, two_thirds = (month_of(now).plus(n - N_MONTHS) for n in (2, 4))
    keep_one(engine, third)
    row(
        "prune by dropping months (tasks)",
        n_tasks // 3,
        engine,
        lambda: run_prune(engine, third.starts_at),
        now,
    )
    row("prune row by row (tasks)", None, engine, lambda: run_prune(engine, two_thirds.starts_at), now)
    base = create_engine(url, isolation_level="AUTOCOMMIT")
    with base.connect() as connection:
        for name in ("imported", "restored"):
            connection.execute(text(f"CREATE DATABASE {name}"))
    base.dispose()
    imported = engine.url.set(database="imported").render_as_string(hide_password=False)
    migrate(imported)
    other = create_engine(imported)
    row(
        "import (tasks)",
        n_tasks,
        None,
        lambda: import_file(other, folder / "l.gz", tenant="default", who="b"),
        now,
    )
    restored = engine.url.set(database="restored").render_as_string(hide_password=False)
    row("restore (tasks)", n_tasks, None, lambda: restore(restored, folder / "backup"), now)
    other.dispose()
    engine.dispose()


def row(name: str, n: int | None, engine: Engine | None, step: Callable[[], object], now: datetime) -> None:
    """Run a step beside the queue and print its line."""
    with working(engine, now) as queue:
        began = time.monotonic()
        done = step()
        took_s = time.monotonic() - began
    n = n if n is not None else int(str(done))
    waited = "" if queue is None else f"{queue.longest_s:.2f}"
    print(f"| {name} | {took_s:.1f} | {n / took_s:.0f} | {waited} |", flush=True)


@contextlib.contextmanager
def working(engine: Engine | None, now: datetime) -> Iterator[Queue | None]:
    """Have a queue write for the length of the block."""
    if engine is None:
        yield None
        return
    task, batch = uuid7(), uuid7()
    with engine.begin() as connection:
        add_batch(connection, batch)
        for statement in FILL[:1]:
            connection.execute(text(statement), {"ids": [task], "batch": batch, "at": now})
    queue = Queue(engine, task)
    thread = threading.Thread(target=queue.run)
    thread.start()
    yield queue
    queue.stop()
    thread.join()


def fill(engine: Engine, n_tasks: int, now: datetime) -> None:
    """Put finished tasks of the last months on record, in the default partitions."""
    each = n_tasks // N_MONTHS
    for back in range(N_MONTHS, 0, -1):
        month = month_of(now).plus(-back)
        ids = [id_of(month, i) for i in range(each)]
        for start in range(0, each, 5000):
            page = ids[start : start + 5000]
            with engine.begin() as connection:
                batch = uuid7()
                add_batch(connection, batch)
                values = {
                    "ids": page,
                    "batch": batch,
                    "at": month.starts_at + timedelta(days=1),
                    "n_chains": N_CHAINS,
                    "calibration": FIRST,
                }
                for statement in FILL:
                    connection.execute(text(statement), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def add_batch(connection: object, batch: UUID) -> None:
    """Make a batch."""
    connection.execute(  # type: ignore[attr-defined]  # a connection of SQLAlchemy's
        text("INSERT INTO batches (id, idempotency_key) VALUES (:id, CAST(:id AS text))"), {"id": batch}
    )


def id_of(month: Month, i: int) -> UUID:
    """Return the id of a month's i-th task."""
    return UUID(int=id_at(month.starts_at + timedelta(seconds=i)).int | 7 << 76 | 2 << 62 | i)


def keep_one(engine: Engine, month: Month) -> None:
    """Leave something unfinished in a month, so that it is not dropped."""
    for later in (month, month.plus(1)):
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE tasks SET state = 'generating', published_at = now() WHERE id = :id"),
                {"id": id_of(later, 0)},
            )


def run_prune(engine: Engine, older_than: datetime) -> int:
    """Prune evidence; return the number of tasks that lost theirs."""
    rules = [Rule(tenant="default", older_than=older_than, keep_labelled=False, pruning_id=uuid7())]
    return sum(one.n_tasks for one in prune(engine, {EVIDENCE: rules}, who="benchmark", unsealed=True))


if __name__ == "__main__":
    main()
