"""Batches as a whole: finding one, copying its tasks in, counting."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text

TASK_COLUMNS = (
    "id",
    "batch_id",
    "tenant",
    "custom_id",
    "kind",
    "mode",
    "domain",
    "spec",
    "route",
    "model",
    "priority",
    "not_before",
)

INSERT_BATCH = text("""
INSERT INTO batches (id, tenant, idempotency_key, source, deadline_at)
VALUES (:id, :tenant, :key, :source, :deadline)
ON CONFLICT (tenant, idempotency_key) DO NOTHING RETURNING id
""")

BATCH_BY_KEY = text("SELECT * FROM batches WHERE tenant = :tenant AND idempotency_key = :key")

SET_COUNTS = text("""
UPDATE batches SET n_tasks = :n_tasks, n_rejected_lines = :n_rejected_lines WHERE id = :id
""")

FIRST_EVENTS = text("""
INSERT INTO task_events (task_id, to_state, who, why)
SELECT id, 'queued', :who, 'submitted' FROM tasks WHERE batch_id = :id
""")

_WITH_STATES = """
SELECT b.*, (SELECT jsonb_object_agg(state, n) FROM
             (SELECT state, count(*) AS n FROM tasks WHERE batch_id = b.id GROUP BY state) s) AS states,
       CASE WHEN b.deadline_at <= now() THEN
           (SELECT count(*) FROM tasks WHERE batch_id = b.id AND state = 'failed'
            AND error ->> 'type' = 'DeadlinePassed') ELSE 0 END AS n_expired
FROM batches b WHERE b.tenant = :tenant
"""

LIST_BATCHES = text(_WITH_STATES + "ORDER BY b.id DESC LIMIT :n")

ONE_BATCH = text(_WITH_STATES + "AND b.id = :id")

RESULTS = text("""
SELECT t.id, t.custom_id, t.state, t.tokens_spent, t.tokens_saved, t.error, d.id AS decision_id, d.document,
       d.calibration_id
FROM tasks t LEFT JOIN decisions d ON d.task_id = t.id AND d.is_current
WHERE t.batch_id = :id AND t.id > :after ORDER BY t.id LIMIT :n
""")

LABEL_COLUMNS = ("id", "task_id", "tenant", "answers", "source")

VERDICT_COUNTS = text("""
SELECT task_id, verifier, outcome, count(*) AS n FROM verdicts
WHERE task_id = ANY(:ids) AND candidate LIKE 'answer:%'
GROUP BY task_id, verifier, outcome
""")


def copy_rows(
    connection: Connection, table: str, columns: tuple[str, ...], values: Iterable[tuple[Any, ...]]
) -> int:
    """Stream ``values`` into ``table`` with COPY, inside the open transaction; return how many rows went in.

    ``values`` may be a generator: it is read as it is sent, so memory does not grow with the number of rows.
    """
    cursor = connection.connection.cursor()
    n = 0
    try:
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in values:
                copy.write_row(row)
                n += 1
    finally:
        cursor.close()
    return n


def copy_labels(connection: Connection, values: Iterable[tuple[str, str, str, list[str], str]]) -> int:
    """Stream (id, task, tenant, answers, source) rows into ``labels``."""
    rows = ((*start, json.dumps(answers), source) for *start, answers, source in values)
    return copy_rows(connection, "labels", LABEL_COLUMNS, rows)
