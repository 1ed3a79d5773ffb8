"""How many statements Postgres gets for a task, stage by stage, counted by Postgres itself (pg_stat_statements).

BEGIN and COMMIT count; each row of an insert of many counts as one where the driver sends it as one. Renewals of
leases and sweeps depend on time and not on tasks, so they are left out. Run: python -m benchmarks.queue.statements
[--tasks 400], then python -m benchmarks.queue.page
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from benchmarks.method.results import save
from benchmarks.queue.crew import K, write_recording, write_tasks
from db.migrate import migrate
from db.session import connect
from verifiers.math.verifier import MathVerifier
from worker.embedded.services import Services
from worker.engines.replay import ReplayEngine
from worker.judging.math import MathJudge
from worker.keeper import LeaseKeeper
from worker.messages import DECIDE, GENERATE, VERIFY
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.transactions import Store
from worker.submitting import submit

SIZES = (1, 8, 64)
COUNTED = """
SELECT sum(calls) AS n, sum(total_exec_time + total_plan_time) AS ms FROM pg_stat_statements
WHERE query NOT LIKE '%pg_stat_statements%'
"""
DEAREST = """
SELECT calls, total_exec_time AS ms, regexp_replace(left(query, 90), '\\s+', ' ', 'g') AS query
FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 12
"""


class Hand:
    """A broker that keeps what it is given, to be handed on stage by stage."""

    def __init__(self) -> None:
        self.queues: dict[str, list[UUID]] = defaultdict(list)

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        """Keep them."""
        self.queues[queue] += [task_id for task_id, _ in tasks]
        return True

    def wake(self) -> None:
        """Do nothing: sweeps are run by hand."""

    def depth(self, queue: str) -> int:
        """Return how many tasks wait."""
        return len(self.queues[queue])

    def identity(self) -> str:
        """Return always the same."""
        return "hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A database that counts, and what the stages need."""

    store: Store
    desk: Desk
    hand: Hand
    folder: Path

    def counted(self, run: Callable[[], object], n_tasks: int) -> dict[str, float]:
        """Return statements and milliseconds of Postgres per task of a run."""
        with self.store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_stat_statements_reset()"))
            run()
            row = connection.execute(text(COUNTED)).one()
        return {"statements": round(float(row.n) / n_tasks, 2), "ms": round(row.ms / n_tasks, 3)}

    def stage(self, queue: str, size: int, run: Callable[[list[UUID]], None]) -> dict[str, float]:
        """Return what a stage costs per task when its messages hold ``size`` ids."""
        ids = self.hand.queues.pop(queue)

        def all_of_them() -> None:
            for start in range(0, len(ids), size):
                run(ids[start : start + size])

        return self.counted(all_of_them, len(ids))


def life(bench: Bench, *, n_tasks: int, size: int) -> dict[str, dict[str, float]]:
    """Return what each step of the life of ``n_tasks`` costs per task."""
    file = bench.folder / f"tasks-{size}.jsonl"
    write_tasks(file, n_tasks)

    def hand_in() -> None:
        with file.open("rb") as stream:
            submit(
                bench.store,
                bench.hand,
                stream,
                file=file.name,
                error_file=file,
                settings=bench.desk.settings,
                key=str(size),
            )

    found = {"submit": bench.counted(hand_in, n_tasks)}

    def publish_all() -> None:
        while len(bench.hand.queues[GENERATE]) < n_tasks:
            reconcile(bench.desk, bench.hand)

    found["publish"] = bench.counted(publish_all, n_tasks)
    engine = ReplayEngine.from_file(bench.folder / "recording.jsonl")
    with ThreadPoolExecutor(K) as pool:
        found["generate"] = bench.stage(
            GENERATE, size, lambda ids: generate(bench.desk, ids, engine=engine, pool=pool)
        )
    verifier = MathVerifier()
    judge = MathJudge(verifier).judge
    found["verify"] = bench.stage(
        VERIFY["math"], size, lambda ids: verify(bench.desk, ids, verifier="math", judge=judge)
    )
    verifier.close()
    found["decide"] = bench.stage(DECIDE, size, lambda ids: decide(bench.desk, ids))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument(
        "--dearest", action="store_true", help="print the dearest statements of the last stage"
    )
    options = parser.parse_args()
    n_tasks: int = options.tasks
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as name,
        Services(Path(name) / "s", broker_url="redis://none") as services,
    ):
        migrate(services.database_url)
        store = connect(services.database_url)
        with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"))
            connection.execute(text("ALTER SYSTEM SET pg_stat_statements.track_planning = on"))
        store.dispose()
        services.restart_database()
        store = connect(services.database_url)
        with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE EXTENSION pg_stat_statements"))
        write_recording(Path(name) / "recording.jsonl")
        settings = Settings(state_dir=Path(name), engine="replay", lease_s=600.0, publish_window=100_000)
        hand, keeper = Hand(), LeaseKeeper(store, lease_s=settings.lease_s)
        desk = Desk(store=store, publisher=hand, keeper=keeper, settings=settings, holder="bench")
        bench = Bench(store=store, desk=desk, hand=hand, folder=Path(name))
        for size in SIZES:
            for stage, cost in life(bench, n_tasks=n_tasks, size=size).items():
                rows.append({"tasks_per_message": size, "stage": stage, **cost})
                print(rows[-1], flush=True)
        if options.dearest:
            with store.connect() as connection:
                for row in connection.execute(text(DEAREST)):
                    print(f"{row.calls:7} {row.ms:9.1f} ms {row.query}")
        store.dispose()
    save(Path("build/queue"), "statements", {"tasks": n_tasks, "chains_per_task": K, "rows": rows})


if __name__ == "__main__":
    main()
