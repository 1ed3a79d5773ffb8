"""What it costs to write search entries, at the end of a large ledger where new decisions go.

The newest entries are deleted, vacuumed away and written again: first some that are not counted, which take most pages
that are copied whole to the log, once after a checkpoint.

Run: python -m benchmarks.audit.writes --folder /var/tmp/ledger
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from benchmarks.audit.queries import NO_BROKER, TENANT
from benchmarks.method.results import save
from db import entries
from db.session import connect
from worker.embedded.services import Services
from worker.store.transactions import Store, statements, transaction

N = 4000
WARM = 2000
SIZES = (1, 10, 50)
"""Decisions of one transaction."""

TAKE_AWAY = text("""
DELETE FROM search_entries WHERE task_id IN (
    SELECT task_id FROM search_entries WHERE tenant = :tenant ORDER BY decided_at DESC, task_id DESC LIMIT :n
) RETURNING decided_at, decision_id
""")
LOG = text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="of an embedded Postgres; else DATABASE_URL")
    parser.add_argument("--out", type=Path, default=Path("build/audit"))
    given = parser.parse_args()
    url = None if given.folder else os.environ["DATABASE_URL"]
    with Services(given.folder or Path(), database_url=url, broker_url=NO_BROKER) as services:
        store = connect(services.database_url)
        try:
            save(given.out, "writes", measure(store))
        finally:
            store.dispose()


def measure(store: Store) -> dict[str, Any]:
    """Return milliseconds and bytes of log for each entry, by entries of one transaction."""
    found: dict[str, Any] = {}
    for size in SIZES:
        decisions = _take_away(store)
        _write(store, decisions[:WARM], 50)
        before = _log(store)
        times = _write(store, decisions[WARM:], size)
        found[str(size)] = {
            "p50": round(statistics.median(times) / size, 3),
            "mean": round(statistics.mean(times) / size, 3),
            "bytes": round((_log(store) - before) / (N - WARM)),
        }
        print(f"{size} at once: {found[str(size)]}", flush=True)
    return {"writes": found, "load": round(os.getloadavg()[0], 1)}


def _take_away(store: Store) -> Sequence[UUID]:
    """Delete the newest entries; return their decisions, the oldest first."""
    with transaction(store) as connection:
        taken = connection.execute(TAKE_AWAY, {"tenant": TENANT, "n": N}).all()
    with statements(store) as connection:
        connection.execute(text("VACUUM search_entries"))
        connection.execute(text("CHECKPOINT"))
    return [row.decision_id for row in sorted(taken)]


def _write(store: Store, decisions: Sequence[UUID], size: int) -> list[float]:
    times = []
    for i in range(0, len(decisions), size):
        began = time.perf_counter()
        with transaction(store) as connection:
            connection.execute(entries.WRITE, {"ids": decisions[i : i + size]})
        times.append((time.perf_counter() - began) * 1000)
    return times


def _log(store: Store) -> int:
    with statements(store) as connection:
        return int(connection.execute(LOG).scalar_one())


if __name__ == "__main__":
    main()
