"""How Postgres carries out the hot statements on a large record.

Run: python -m benchmarks.queue.plans [--finished 1000000 --backlog 100000] [--database-url URL], then
python -m benchmarks.queue.page. With a URL that database is used, one that benchmarks.ledger.generate filled, say; it
is for measuring alone, since some of its answered tasks are put under way again. Exits with 1 when a statement reads a
large table from end to end or leaves its index aside.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.dialects import postgresql

from benchmarks.method.results import save
from benchmarks.queue.filling import Filled, fill
from benchmarks.queue.hot import Hot, hot_statements
from db.migrate import migrate
from db.session import connect
from worker.embedded.services import Services
from worker.store.transactions import Store

LARGE = ("tasks", "verifications", "task_events", "chains", "verdicts", "decisions")  # or partitions of them
PARTITION = re.compile(r"_(default|p?\d[\d_]*)$")
COUNT = "SELECT count(*) AS n, count(*) FILTER (WHERE finished_at IS NULL) AS n_unfinished FROM tasks"


UNDER_WAY_AGAIN = (
    """UPDATE tasks SET finished_at = NULL, published_at = now(),
           state = (ARRAY['queued', 'generating', 'verifying', 'deciding'])[1 + mod(s.n, 4)]
       FROM (SELECT d.task_id, row_number() OVER (ORDER BY d.task_id) AS n
             FROM (SELECT DISTINCT task_id FROM chains ORDER BY task_id DESC LIMIT :n) d) s
       WHERE tasks.id = s.task_id AND tasks.state = 'answered'""",
    """INSERT INTO verifications (task_id, verifier, published_at)
       SELECT id, 'math', now() FROM tasks WHERE state = 'verifying' ON CONFLICT DO NOTHING""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one statement was carried out."""

    hot: Hot
    ms: float
    pages: int
    """Of 8 KiB, from the cache or the disk."""

    scanned: frozenset[str]
    """Large tables that were read from end to end."""

    unused: frozenset[str]
    """Indexes that it must use and did not."""

    @property
    def is_good(self) -> bool:
        """Whether what it costs does not depend on how much is on record."""
        return not self.scanned and not self.unused


def plans(store: Store, *, analyze: bool, window: int = 2000) -> Iterator[Plan]:
    """Yield the plan of each hot statement; see ``plan_of``."""
    for hot in hot_statements(store, window=window):
        yield plan_of(store, hot, analyze=analyze)


def plan_of(store: Store, hot: Hot, *, analyze: bool) -> Plan:
    """Return how a statement is carried out; nothing that it writes stays.

    Args:
        store: A large record, with statistics.
        hot: The statement.
        analyze: Carry it out and count; else the plan alone, without time and pages.
    """
    for _ in range(1 + analyze):  # once for the cache, where hot statements find their pages
        with store.connect() as connection, connection.begin() as run:
            (found,) = explain(connection, hot, "ANALYZE, BUFFERS, " if analyze else "")
            run.rollback()
    nodes = list(_nodes(found["Plan"]))
    used = [str(n["Index Name"]) for n in nodes if "Index Name" in n]
    return Plan(
        hot=hot,
        ms=found.get("Execution Time", 0.0),
        pages=found["Plan"].get("Shared Hit Blocks", 0) + found["Plan"].get("Shared Read Blocks", 0),
        scanned=frozenset(
            n["Relation Name"]
            for n in nodes
            if n["Node Type"] == "Seq Scan" and PARTITION.sub("", n["Relation Name"]) in LARGE
        ),
        unused=frozenset(index for index in hot.indexes if not fnmatch.filter(used, index)),
    )


def explain(connection: Connection, hot: Hot, how: str) -> list[dict[str, Any]]:
    """Return the plan as Postgres writes it down."""
    explained = f"EXPLAIN ({how}FORMAT JSON) "
    if isinstance(hot.statement, TextClause):
        found = connection.execute(text(explained + hot.statement.text), hot.values).scalar_one()
    else:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        literal = hot.statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        found = connection.exec_driver_sql(explained + str(literal)).scalar_one()
    plan: list[dict[str, Any]] = found
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


@contextmanager
def _database(url: str | None, much: Filled) -> Iterator[Store]:
    if url is not None:
        store = connect(url)
        with store.begin() as connection:
            for statement in UNDER_WAY_AGAIN:
                connection.execute(text(statement), {"n": much.n_under_way})
        yield store
        store.dispose()
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        Services(Path(folder), broker_url="redis://none") as services,
    ):
        migrate(services.database_url)
        store = connect(services.database_url)
        began = time.monotonic()
        fill(store, much)
        print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
        yield store
        store.dispose()


def main() -> int:
    """Measure, print and save; return 1 when a plan depends on how much is on record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--under-way", type=int, default=2000)
    parser.add_argument("--database-url", default=None)
    options = parser.parse_args()
    much = Filled(n_finished=options.finished, n_under_way=options.under_way, n_backlog=options.backlog)
    with _database(options.database_url, much) as store:
        with store.connect() as connection:
            row = connection.execute(text(COUNT)).one()
        found = list(plans(store, analyze=True))
    for plan in found:
        wrong = ", ".join(
            [*(f"scans {name}" for name in plan.scanned), *(f"without {name}" for name in plan.unused)]
        )
        print(f"{plan.hot.every:8} {plan.hot.name:28} {plan.ms:9.2f} ms {plan.pages:8} pages  {wrong}")
    rows = [
        {
            "statement": plan.hot.name,
            "every": plan.hot.every,
            "ms": round(plan.ms, 2),
            "pages": plan.pages,
            "good": plan.is_good,
        }
        for plan in found
    ]
    save(Path("build/queue"), "plans", {"tasks": row.n, "unfinished": row.n_unfinished, "statements": rows})
    return int(any(not plan.is_good for plan in found))


if __name__ == "__main__":
    sys.exit(main())
