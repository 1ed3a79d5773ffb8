"""Pauses, rate limits and turns: the statements an operator's commands and the reconciler share."""

from __future__ import annotations

from sqlalchemy import text

from db.backlog import BACKLOG
from db.models import NOT_YET, UNDER_WAY

PAUSE = text("""
INSERT INTO queues (name, paused_at, paused_by, why) VALUES (:name, now(), :who, :why)
ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(queues.paused_at, now()), paused_by = :who, why = :why
""")

RESUME = text("""
UPDATE queues SET paused_at = NULL, paused_by = '', why = '' WHERE name = :name AND paused_at IS NOT NULL
""")

PAUSED = text("SELECT name, paused_at, paused_by, why, window_tasks FROM queues")

WAITING_TASKS = text(f"""
WITH RECURSIVE {BACKLOG}
SELECT route, state, CAST(sum(n) AS bigint) AS n, CAST(sum(n_backlog) AS bigint) AS n_backlog,
       extract(epoch FROM now() - min(oldest_at)) AS oldest_s
FROM (
    SELECT route, 'queued' AS state, n, n AS n_backlog, oldest_at FROM backlog
    UNION ALL
    SELECT route, state, count(*), count(*), min(created_at) FROM tasks WHERE {NOT_YET} GROUP BY route, state
    UNION ALL
    SELECT route, state, count(*), 0, min(created_at) FROM tasks WHERE ({UNDER_WAY}) AND state <> 'verifying'
    GROUP BY route, state
) waiting GROUP BY route, state
""")  # noqa: S608 (our own constants)

WAITING_VERIFICATIONS = text("""
SELECT v.verifier, count(*) AS n, extract(epoch FROM now() - min(t.created_at)) AS oldest_s
FROM verifications v JOIN tasks t ON t.id = v.task_id
WHERE NOT v.done AND t.state = 'verifying' GROUP BY v.verifier
""")

SET_LIMIT = text("""
INSERT INTO rate_limits (scope, name, per_s, burst, tokens) VALUES (:scope, :name, :per_s, :burst, :burst)
ON CONFLICT (scope, name) DO UPDATE
SET per_s = :per_s, burst = :burst, tokens = least(rate_limits.tokens, :burst)
""")

REMOVE_LIMIT = text("DELETE FROM rate_limits WHERE scope = :scope AND name = :name")

LIMITS = text("SELECT scope, name, per_s, burst, tokens FROM rate_limits ORDER BY scope, name")

REFILL = text("""
UPDATE rate_limits
SET tokens = least(burst, tokens + per_s * extract(epoch FROM now() - refilled_at)), refilled_at = now()
RETURNING scope, name, tokens
""")

SPEND = text("UPDATE rate_limits SET tokens = tokens - :n WHERE scope = :scope AND name = :name")

TURNS = text("SELECT tenant, model, n FROM turns")

HAVE_TURNS = text("""
INSERT INTO turns (tenant, model, n)
SELECT * FROM unnest(CAST(:tenants AS text[]), CAST(:models AS text[]), CAST(:numbers AS bigint[]))
ON CONFLICT (tenant, model) DO UPDATE SET n = excluded.n
""")
