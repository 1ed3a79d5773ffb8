"""Sealing and verifying a ledger, against COPY and SHA-256 over the same rows in the same run.

With DATABASE_URL the ledger that is there, which is sealed for good; else an embedded database with `--decisions` made
by SQL: of each a task, two chains, a verdict and two clusters. Run:
python -m benchmarks.seals.measure --decisions 200000 --processes 2 --out build/seals
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text

from benchmarks.method.results import save
from db.migrate import migrate
from db.session import connect
from worker.embedded.services import Services
from worker.seals.checking import Tally, verify
from worker.seals.sealing import seal_due
from worker.store.transactions import Store

ResultT = TypeVar("ResultT")


# Texts and documents about as long as a word problem's.
FILL = (
    "CREATE FUNCTION pg_temp.uuid_of(i int) RETURNS uuid LANGUAGE sql IMMUTABLE AS "
    "$$SELECT CAST('01900000-' || substr(h, 1, 4) || '-7' || substr(h, 5, 3) || '-8' || substr(h, 8, 1) "
    "|| '00-000000000000' AS uuid) FROM (SELECT lpad(to_hex(i), 8, '0') AS h) hex$$",
    "INSERT INTO batches (id, idempotency_key) VALUES ('00000000-0000-7000-8000-0000000000bb', 'measure')",
    """
    INSERT INTO tasks (id, batch_id, custom_id, kind, mode, domain, spec, state, created_at, finished_at)
    SELECT pg_temp.uuid_of(i), '00000000-0000-7000-8000-0000000000bb', 't' || i, 'math', 'merge', 'math',
           jsonb_build_object('kind', 'math', 'custom_id', 't' || i, 'options', '{"k": 8}'::jsonb,
                              'prompt', repeat('How many apples are left when ' || i || ' are eaten? ', 6)),
           'answered', at, at
    FROM (SELECT i, now() - interval '1 day' - interval '300 days' * (1 - i / CAST(:n AS float)) AS at
          FROM generate_series(1, CAST(:n AS int)) i) made
    """,
    """
    INSERT INTO chains (task_id, index, text, answer, logprob, n_tokens, finish_reason, model, revision, prompt_variant,
                        engine, attempt, seed, temperature, latency_s)
    SELECT pg_temp.uuid_of(i), c, repeat('There are ' || i || ' apples at first. ', 12), CAST(i - c AS text),
           -20.5 - c, 120, 'stop', 'default', 'r1', 'plain', 'replay', 1, c, 0.7, 1.25
    FROM generate_series(1, CAST(:n AS int)) i, generate_series(0, 1) c
    """,
    """
    INSERT INTO verdicts (task_id, candidate, verifier, version, outcome, reason, claim, evidence, limits, elapsed_s,
                          attempt)
    SELECT pg_temp.uuid_of(i), 'answer:0:' || md5(CAST(i AS text)), 'math', '1.0', 'confirmed',
           'equal to the reference', '{"kind": "equality", "spec": 0}', '{"reference": "7"}',
           '{"timeout_s": 5}', 0.012, 1
    FROM generate_series(1, CAST(:n AS int)) i
    """,
    """
    INSERT INTO decisions (id, task_id, answer, abstain_flag, abstain_reasons, confidence, vote_margin, merge_degree,
                           set_size, best_cluster, document, calibration_id, configuration, code_version, attempt,
                           created_at)
    SELECT pg_temp.uuid_of(-i), id, CAST(i AS text), false, '[]', 0.75, 0.5, 2, 1, 0,
           jsonb_build_object('answer', i, 'vote_margin', 0.5, 'clusters', '[
               {"id": 0, "members": [0], "score": -0.17, "posterior": 0.75, "in_set": true, "confirmed_by": ["math"]},
               {"id": 1, "members": [1], "score": -1.4, "posterior": 0.25, "in_set": false, "confirmed_by": []}
           ]'::jsonb),
           '00000000-0000-7000-8000-000000000001', 'abc', '1', 1, finished_at
    FROM (SELECT *, CAST(substr(custom_id, 2) AS int) AS i FROM tasks) t
    """,
    """
    INSERT INTO clusters (decision_id, number, members, answer, score, posterior, in_set)
    SELECT id, c, ARRAY[c]::smallint[], answer, -0.17, 0.75, c = 0 FROM decisions, generate_series(0, 1) c
    """,
)

READ = ("tasks", "chains", "verdicts", "decisions", "clusters")


def fill(store: Store, n: int) -> None:
    """Put ``n`` decided tasks into an empty ledger."""
    with store.begin() as connection:
        connection.execute(
            text("SET LOCAL session_replication_role = replica")
        )  # no foreign keys while it is loaded
        for statement in FILL:
            connection.execute(text(statement), {"n": n} if ":n" in statement else {})
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def read_and_hash(store: Store) -> int:
    """Read every row that is sealed with COPY and hash the bytes; return how many bytes."""
    n_bytes, digest = 0, hashlib.sha256()
    with store.connect() as connection:
        for table in READ:
            with connection.connection.cursor().copy(f"COPY (TABLE {table}) TO STDOUT") as copy:
                for block in copy:
                    digest.update(block)
                    n_bytes += len(block)
    return n_bytes


def timed(work: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """Return how many seconds it took, and the result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(store: Store, processes: int) -> dict[str, Any]:
    """Seal what is not sealed, verify all of it; the peer in between."""
    seal_s, seals = timed(lambda: list(seal_due(store, who="benchmark", processes=processes)))
    peer_s, n_bytes = timed(lambda: read_and_hash(store))
    found = {}
    for n in sorted({1, processes}):
        tally = Tally()
        verify_s, findings = timed(lambda tally=tally, n=n: list(verify(store, tally, processes=n)))  # type: ignore[misc]
        assert not [one for one in findings if one.is_difference]
        found[str(n)] = verify_s
    n_entries = sum(one.n_entries for one in seals)
    with store.connect() as connection:
        kept = connection.execute(
            text("SELECT pg_total_relation_size('seal_entries') + pg_total_relation_size('seal_salts')")
        )
        kept_bytes = kept.scalar_one()
    return {
        "entries": n_entries,
        "rows": tally.n_rows,
        "seals": len(seals),
        "processes": processes,
        "seal s": seal_s,
        "verify s": found,
        "peer s": peer_s,
        "mib": round(n_bytes / 2**20),
        "kept bytes an entry": round(kept_bytes / tally.n_entries),
        "peak mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Fill or take a database, measure, save the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/seals"))
    given = parser.parse_args()
    url = os.environ.get("DATABASE_URL")
    if url:
        store = connect(url)
        save(given.out, "seals", measure(store, given.processes))
        store.dispose()
        return
    with tempfile.TemporaryDirectory() as folder:
        services = Services(Path(folder), broker_url="redis://none")
        services.start()
        try:
            migrate(services.database_url)
            store = connect(services.database_url)
            fill(store, given.decisions)
            save(given.out, "seals", measure(store, given.processes))
            store.dispose()
        finally:
            services.stop()


if __name__ == "__main__":
    main()
