"""A night over many graded decisions, against COPY and NumPy reading the same rows in the same run.

The gradings are made by SQL, for grading is not what is measured here. Run:
python -m benchmarks.calibration.nights --decisions 1000000 --domains 20 --out build/calibration
or, on a ledger that is there (benchmarks/ledger), which is read and not written to but for gradings that are due:
python -m benchmarks.calibration.nights --database URL --tenant NAME --out build/calibration
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import text

from benchmarks.method.results import save
from db.migrate import migrate
from db.session import connect
from worker.calibrating import run_night
from worker.embedded.services import Services
from worker.grading import grade_due
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.plans import Plan
from worker.settings import Settings
from worker.store.transactions import Store

# Three clusters and eight chains a decision; the confidence is true, so that the guards stay quiet. Foreign keys are
# not checked while it is loaded, since the tasks are not needed.
MAKE = text("""
INSERT INTO gradings (task_id, known_at, tenant, domain, decision_id, label_id, decided_at, grade, correct, answerable,
                      confidence, vote_margin, truth, masses, right_chains, wrong_chains, models, ballot, n_decisions,
                      n_labels)
SELECT gen_random_uuid(), at, 'default', 'domain-' || (i % :domains), gen_random_uuid(), gen_random_uuid(), at,
       'graded', is_right, true, top, round(top * 8) / 8, CASE WHEN is_right THEN 0 WHEN other < 0.9 THEN 1 END,
       ARRAY[top, (1 - top) * 0.7, (1 - top) * 0.3],
       CASE WHEN is_right THEN '{0,1,2,3,4}'::smallint[] ELSE '{}'::smallint[] END,
       CASE WHEN is_right THEN '{5,6,7}'::smallint[] ELSE '{0,1,2,3,4,5,6,7}'::smallint[] END,
       CASE WHEN i % :domains < :pools THEN '["a", "b"]' ELSE '["default"]' END::jsonb,
       CASE WHEN i % :domains < :pools AND is_right THEN '{4,4,3,2,1,2, 4,0,3,2, 0,1,1,1, 0,2,0,1}'
            WHEN i % :domains < :pools THEN '{4,4,0,0,4,4, 0,0,1,3, 0,1,2,0, 0,2,1,1}'
            WHEN is_right THEN '{8,5,3, 4,0,5, 0,1,2, 0,2,1}' ELSE '{8,0,8, 0,0,5, 0,1,2, 0,2,1}' END::smallint[],
       1, 1
FROM (SELECT i, top, random() < top AS is_right, random() AS other,
             now() - interval '80 days' * (1 - i / (:n + 1.0)) AS at
      FROM (SELECT i, 0.4 + 0.6 * sqrt(random()) AS top FROM generate_series(1, :n) i) drawn) made
""")

COPY_FIXED = """
COPY (SELECT coalesce(correct, false)::int, answerable::int, confidence, vote_margin, coalesce(truth, -1)::int,
             coalesce(masses[1], 0), coalesce(masses[2], 0), coalesce(masses[3], 0), cardinality(right_chains),
             cardinality(wrong_chains)
      FROM gradings WHERE tenant = %s AND domain = %s AND grade <> 'spread' AND until_at IS NULL
        AND decided_at > now() - interval '90 days' ORDER BY decided_at DESC, decision_id DESC LIMIT 5000)
TO STDOUT (FORMAT BINARY)
"""

# All that a night reads of these rows, which NumPy can't take apart: an array has no fixed place.
COPY_WHOLE = COPY_FIXED.replace(
    "coalesce(masses[1], 0), coalesce(masses[2], 0), coalesce(masses[3], 0), ",
    "decision_id, label_id, masses, models, ballot, ballot_masses, weighted, ",
)

INT, FLOAT = [("n", ">i4"), ("v", ">i4")], [("n", ">i4"), ("v", ">f8")]
ROW = np.dtype(
    [("fields", ">i2")]
    + [(f"c{i}", kind) for i, kind in enumerate([INT, INT, FLOAT, FLOAT, INT, FLOAT, FLOAT, FLOAT, INT, INT])]
)
HEADER_BYTES, TRAILER_BYTES = 19, 2


def copied(store: Store, domains: list[str], tenant: str, statement: str) -> Iterator[bytes]:
    """Yield what COPY sends for each domain, and before them for all of them."""
    with store.connect() as connection:
        cursor = connection.connection.cursor()
        for domain in ["", *domains]:
            of_domain = (statement, (tenant, domain))
            of_all = (statement.replace("AND domain = %s ", ""), (tenant,))
            with cursor.copy(*(of_domain if domain else of_all)) as copy:
                yield b"".join(bytes(block) for block in copy)


def read_with_numpy(store: Store, domains: list[str], tenant: str) -> int:
    """Read ten numbers of each row that a night reads, do nothing with them but a mean; return how many rows."""
    n_rows = 0
    for raw in copied(store, domains, tenant, COPY_FIXED):
        rows = np.frombuffer(raw[HEADER_BYTES:-TRAILER_BYTES], dtype=ROW)
        assert 0.0 < rows["c2"]["v"].mean() <= 1.0
        n_rows += len(rows)
    return n_rows


def peak_while(work: threading.Event, samples: list[float]) -> None:
    """Sample this process's resident memory, in MiB, until the work is done."""
    page = resource.getpagesize()
    while not work.wait(0.05):
        samples.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)


def main() -> None:
    """Make the rows, measure both, save the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=20)
    parser.add_argument("--pools", type=int, default=5, help="domains whose tasks two models answer")
    parser.add_argument("--database", help="URL of a ledger that is there")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/calibration"))
    given = parser.parse_args()
    if given.database is not None:
        store = connect(given.database)
        with tempfile.TemporaryDirectory() as folder:
            save(given.out, "nights", measure(store, Path(folder), given))
        return
    with tempfile.TemporaryDirectory() as folder:
        services = Services(Path(folder), broker_url="redis://none")
        services.start()
        try:
            migrate(services.database_url)
            store = connect(services.database_url)
            with store.begin() as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                connection.execute(text("SELECT setseed(0.5)"))
                connection.execute(
                    MAKE, {"n": given.decisions, "domains": given.domains, "pools": given.pools}
                )
            with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE gradings"))
            save(given.out, "nights-made", measure(store, Path(folder), given))
            store.dispose()
        finally:
            services.stop()


def count_gradings(store: Store, tenant: str) -> int:
    """Return how many gradings the tenant has."""
    with store.connect() as connection:
        statement = text("SELECT count(*) FROM gradings WHERE tenant = :tenant")
        return int(connection.execute(statement, {"tenant": tenant}).scalar_one())


def measure(store: Store, folder: Path, given: argparse.Namespace) -> dict[str, object]:
    """Return the times of both, interleaved, and the memory of the night."""
    settings = Settings(state_dir=folder, tenant=given.tenant)
    with Judges(Surroundings(settings=settings, store=store)) as judges:  # unmeasured: it may have to grade
        first = run_night(store, judges, tenant=given.tenant, plan=Plan(), who="benchmark", activate=False)
    domains = [one.domain for one in first.calibrations if one.domain]
    n_gradings = count_gradings(store, given.tenant)
    nights, reads, wholes, looks, night_cpu, read_cpu = [], [], [], [], [], []
    samples: list[float] = []
    n_rows = n_in_force = 0
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    for _ in range(given.repeats):
        start, cpu = time.perf_counter(), time.process_time()
        n_rows = read_with_numpy(store, domains, given.tenant)
        reads.append(time.perf_counter() - start)
        read_cpu.append(time.process_time() - cpu)
        start = time.perf_counter()
        assert all(copied(store, domains, given.tenant, COPY_WHOLE))
        wholes.append(time.perf_counter() - start)
        with Judges(Surroundings(settings=settings, store=store)) as judges:
            start = time.perf_counter()
            grade_due(store, judges, tenant=given.tenant)
            looks.append(time.perf_counter() - start)
        done = threading.Event()
        thread = threading.Thread(target=peak_while, args=(done, samples))
        thread.start()
        with Judges(Surroundings(settings=settings, store=store)) as judges:
            start, cpu = time.perf_counter(), time.process_time()
            made = run_night(store, judges, tenant=given.tenant, plan=Plan(), who="benchmark", dry_run=True)
            nights.append(time.perf_counter() - start)
            night_cpu.append(time.process_time() - cpu)
        done.set()
        thread.join()
        n_in_force = sum(not one.why for one in made.calibrations)
        assert 0 < sum(one.n_labels for one in made.calibrations) <= n_rows  # less what cannot be told
    return {
        "decisions": n_gradings,
        "domains": len(domains),
        "rows read": n_rows,
        "pools": sum(bool(one.model_weights) for one in made.calibrations),
        "would pass": n_in_force,
        "night s": min(nights),
        "look s": min(looks),
        "numpy s": min(reads),
        "whole s": min(wholes),
        "night cpu s": min(night_cpu),
        "numpy cpu s": min(read_cpu),
        "mib before": round(before),
        "mib peak": round(max(samples)),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
