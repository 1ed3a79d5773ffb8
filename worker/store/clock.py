"""Runs of the clock's jobs, each claimed by one clock."""

from __future__ import annotations

from sqlalchemy import Engine, text

from worker.store.transactions import statements

# One statement, so that of two clocks one waits for the other's row and then finds that the time has moved on.
CLAIM_RUN = text("""
INSERT INTO beat_jobs (name, last_run_at, last_run_by) VALUES (:name, now(), :who)
ON CONFLICT (name) DO UPDATE SET last_run_at = now(), last_run_by = :who
WHERE beat_jobs.last_run_at <= now() - make_interval(secs => :gap_s)
RETURNING name
""")


def claim_run(engine: Engine, job: str, *, gap_s: float, who: str) -> bool:
    """Return whether ``job`` is ours to run now: nobody ran it in the last ``gap_s`` seconds."""
    with statements(engine) as connection:
        found = connection.execute(CLAIM_RUN, {"name": job, "gap_s": gap_s, "who": who})
        return found.one_or_none() is not None
