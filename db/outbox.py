"""What is waiting and should be in the broker: the reconciler's queries.

The rows themselves are the outbox. A row waits when its state says so and nobody holds it; ``published_at`` says
when its message was last sent. It is due when it was never sent, when the lease of the worker that took it ran out
after it was sent, or when it was sent so long ago that the message must be lost.
"""

from __future__ import annotations

from sqlalchemy import text

TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('merge-reasoner reconciler'))")

TASKS_DUE = text("""
WITH due AS (
    SELECT id FROM tasks
    WHERE state = ANY(:states) AND route = ANY(:routes)
      AND (lease_until IS NULL OR lease_until < now())
      AND (not_before IS NULL OR not_before <= now())
      AND deliveries < :max_deliveries
      AND (published_at IS NULL OR published_at < lease_until
           OR published_at < now() - make_interval(secs => :lost_after_s))
    ORDER BY priority DESC, id LIMIT :n FOR UPDATE SKIP LOCKED
)
UPDATE tasks SET published_at = now() FROM due WHERE tasks.id = due.id
RETURNING tasks.id, tasks.priority, tasks.deliveries
""")

TASKS_OUT = text("""
SELECT count(*) FROM tasks
WHERE state = 'queued' AND route = :route AND published_at IS NOT NULL
""")

VERIFICATIONS_DUE = text("""
WITH due AS (
    SELECT v.task_id, v.verifier FROM verifications v JOIN tasks t ON t.id = v.task_id
    WHERE NOT v.done AND v.verifier = :verifier AND t.state = 'verifying'
      AND (v.lease_until IS NULL OR v.lease_until < now())
      AND (v.not_before IS NULL OR v.not_before <= now())
      AND v.deliveries < :max_deliveries
      AND (v.published_at IS NULL OR v.published_at < v.lease_until
           OR v.published_at < now() - make_interval(secs => :lost_after_s))
    ORDER BY t.priority DESC, t.id LIMIT :n FOR UPDATE OF v SKIP LOCKED
)
UPDATE verifications v SET published_at = now() FROM due, tasks t
WHERE v.task_id = due.task_id AND v.verifier = due.verifier AND t.id = v.task_id
RETURNING t.id, t.priority, v.deliveries
""")

PARK_TASKS = text("""
WITH poison AS (
    SELECT id, state, deliveries FROM tasks
    WHERE state IN ('queued', 'generating', 'deciding') AND deliveries >= :max_deliveries
      AND (lease_until IS NULL OR lease_until < now())
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), parked AS (
    UPDATE tasks SET state = 'failed', finished_at = now(), lease_until = NULL, holder = NULL,
        error = jsonb_build_object('type', 'DeadLetter', 'message',
            'the ' || poison.state || ' stage was begun ' || poison.deliveries || ' times and never ended'
                || coalesce('; the last time: ' || (tasks.error ->> 'message'), ''),
            'last_holder', tasks.holder, 'last_error', tasks.error)
    FROM poison WHERE tasks.id = poison.id
    RETURNING tasks.id, poison.state AS from_state, tasks.attempt, tasks.error ->> 'message' AS why
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, from_state, 'failed', :who, why, attempt FROM parked RETURNING task_id
""")

PARK_VERIFICATIONS = text("""
WITH poison AS (
    SELECT v.task_id, v.verifier, v.deliveries, v.holder FROM verifications v
    WHERE NOT v.done AND v.deliveries >= :max_deliveries AND (v.lease_until IS NULL OR v.lease_until < now())
    ORDER BY v.task_id LIMIT 1000
), parked AS (
    UPDATE tasks SET state = 'failed', finished_at = now(),
        error = jsonb_build_object('type', 'DeadLetter', 'message',
            'verify.' || poison.verifier || ' was begun ' || poison.deliveries || ' times and never ended'
                || coalesce('; the last time: ' || (tasks.error ->> 'message'), ''),
            'last_holder', poison.holder, 'last_error', tasks.error)
    FROM poison WHERE tasks.id = poison.task_id AND tasks.state = 'verifying'
    RETURNING tasks.id, tasks.attempt, tasks.error ->> 'message' AS why
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, 'verifying', 'failed', :who, why, attempt FROM parked RETURNING task_id
""")
