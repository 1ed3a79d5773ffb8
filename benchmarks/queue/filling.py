"""A large record for query plans: finished tasks of twenty batches, a backlog, and what is under way, made in SQL.

Every tenth task has a chain and a verdict: enough for the planner to see large tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from worker.store.transactions import Store

N_TENANTS = 5
SPEC = '{"custom_id": "x", "kind": "math", "prompt": "' + "What is 6 times 7? " * 10 + '"}'

# Ids in the order of time, as real ones are. Postgres 18 makes uuid7s of another time; rows of one table in one
# statement would else have ids of one millisecond.
BATCHES = """
INSERT INTO batches (id, tenant, idempotency_key, n_tasks, created_at)
SELECT uuidv7(make_interval(secs => CAST(:n - (i - 1) * :per_batch + 1 AS float8) * -0.1)),
       'tenant ' || mod(i, :tenants), 'batch ' || i, :per_batch, now()
FROM generate_series(1, :batches) i
"""
TASKS = """
INSERT INTO tasks (id, batch_id, tenant, custom_id, kind, mode, domain, spec, route, model, priority, state, urgency,
                   published_at, lease_until, holder, deliveries, attempt, created_at, finished_at, error)
SELECT uuidv7(make_interval(secs => CAST(:n - i AS float8) * -0.1)), b.id, b.tenant, 'task ' || i, 'math', 'merge',
       'math', CAST(:spec AS jsonb), 'generate', 'default', mod(i, 10), s.state, mod(i, 10),
       CASE WHEN i <= :n_finished + :n_under_way THEN now() END,
       CASE WHEN s.state = 'generating' THEN now() + interval '1 hour' END,
       CASE WHEN s.state = 'generating' THEN 'a worker' END,
       CASE WHEN s.state = 'generating' THEN 1 ELSE 0 END, 1,
       now() - make_interval(secs => CAST(:n - i AS float8) * 0.1),
       CASE WHEN i <= :n_finished THEN now() END,
       CASE WHEN s.state = 'failed' THEN CAST('{"type": "DeadLetter", "message": "m"}' AS jsonb) END
FROM generate_series(CAST(:first AS int), :last) i
CROSS JOIN LATERAL (
    SELECT CASE WHEN i > :n_finished + :n_under_way THEN 'queued'
                WHEN i > :n_finished THEN (ARRAY['queued', 'generating', 'verifying', 'deciding'])[1 + mod(i, 4)]
                WHEN mod(i, 1000) = 0 THEN 'failed' ELSE 'answered' END AS state
) s
JOIN LATERAL (SELECT id, tenant FROM batches WHERE idempotency_key = 'batch ' || (1 + (i - 1) / :per_batch)) b ON true
"""
REST = (
    """INSERT INTO verifications (task_id, verifier, done, published_at)
       SELECT id, 'math', state <> 'verifying', now() FROM tasks
       WHERE finished_at IS NOT NULL OR state = 'verifying'""",
    "INSERT INTO task_events (task_id, to_state, who) SELECT id, 'queued', 'filling' FROM tasks",
    """INSERT INTO chains (task_id, index, tenant, text, finish_reason, model, revision, prompt_variant, engine,
                           attempt)
       SELECT id, 0, tenant, '42', 'stop', 'm', '', '', 'replay', 1 FROM tasks
       WHERE mod(CAST(substring(custom_id FROM 6) AS int), 10) = 0 OR state IN ('verifying', 'deciding')""",
    """INSERT INTO verdicts (task_id, candidate, verifier, version, tenant, outcome, reason, claim, evidence, limits,
                             elapsed_s, attempt)
       SELECT id, 'answer:0:x', 'math', '1', tenant, 'confirmed', '', '{}', '{}', '{}', 0, 1 FROM tasks
       WHERE mod(CAST(substring(custom_id FROM 6) AS int), 10) = 0 OR state = 'deciding'""",
    """INSERT INTO decisions (id, task_id, tenant, abstain_flag, abstain_reasons, confidence, vote_margin, set_size,
                              document, calibration_id, configuration, code_version, attempt)
       SELECT uuidv7(), id, tenant, false, '[]', 1, 1, 1, '{}', '00000000-0000-7000-8000-000000000001', '', '', 1
       FROM tasks WHERE state = 'answered'""",
)
AT_ONCE = 250_000  # rows of one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """How much there is of each."""

    n_finished: int
    n_under_way: int
    n_backlog: int
    n_batches: int = 20

    @property
    def n(self) -> int:
        """All tasks."""
        return self.n_finished + self.n_under_way + self.n_backlog


def fill(store: Store, much: Filled, *, analyze: bool = True) -> None:
    """Fill an empty, migrated database; the statistics are up to date afterwards, unless ``analyze`` is false."""
    values = {
        "n": much.n,
        "n_finished": much.n_finished,
        "n_under_way": much.n_under_way,
        "per_batch": -(-much.n // much.n_batches),
        "batches": much.n_batches,
        "tenants": N_TENANTS,
        "spec": SPEC,
    }
    with store.begin() as connection:
        _trust(connection)
        connection.execute(text(BATCHES), values)
    for first in range(1, much.n + 1, AT_ONCE):
        with store.begin() as connection:
            _trust(connection)
            connection.execute(
                text(TASKS), values | {"first": first, "last": min(first + AT_ONCE - 1, much.n)}
            )
    with store.begin() as connection:
        _trust(connection)
        for statement in REST:
            connection.exec_driver_sql(statement)
    if not analyze:
        return
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _trust(connection: Connection) -> None:
    """Check no foreign keys: a lookup for every row, for rows that we know."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")


def ids_in(store: Store, state: str, *, n: int = 8) -> list[UUID]:
    """Return some tasks that wait in ``state`` and are under way."""
    statement = (
        "SELECT id FROM tasks WHERE state = :state AND published_at IS NOT NULL ORDER BY id DESC LIMIT :n"
    )
    with store.connect() as connection:
        return list(connection.execute(text(statement), {"state": state, "n": n}).scalars())
