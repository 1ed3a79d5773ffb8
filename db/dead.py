"""What failed and what nobody could read: listing it and giving it another chance."""

from __future__ import annotations

from sqlalchemy import text

# A retried task goes on where it failed, so that chains and verdicts on record are not paid for again. The stage it
# failed in is the ``from_state`` of its last event. What was pruned is over.
RETRY = text("""
WITH wanted AS (
    SELECT tasks.id, tasks.attempt, failure.from_state
    FROM tasks, LATERAL (
        SELECT from_state FROM task_events e
        WHERE e.task_id = tasks.id AND e.to_state = 'failed' ORDER BY e.id DESC LIMIT 1
    ) failure
    WHERE tasks.state = 'failed' AND tasks.tenant = :tenant
      AND (CAST(:batch_id AS uuid) IS NULL OR tasks.batch_id = :batch_id)
      AND (CAST(:ids AS uuid[]) IS NULL OR tasks.id = ANY(:ids))
      AND (NOT :only_dead OR tasks.error ->> 'type' = 'DeadLetter')
      AND NOT EXISTS (SELECT 1 FROM batches b
                      WHERE b.id = tasks.batch_id AND (b.cancelled_at IS NOT NULL OR b.deadline_at <= now()))
      AND NOT EXISTS (SELECT 1 FROM pruned_tasks p WHERE p.task_id = tasks.id)
    ORDER BY tasks.id FOR UPDATE OF tasks
), revived AS (
    UPDATE tasks SET state = CASE WHEN from_state IN ('verifying', 'deciding') THEN from_state ELSE 'queued' END,
                     lease_until = NULL, holder = NULL, deliveries = 0, not_before = NULL, published_at = NULL,
                     waits_since = now(), error = NULL, finished_at = NULL
    FROM wanted WHERE tasks.id = wanted.id
    RETURNING tasks.id, tasks.state, tasks.attempt
), turns AS (
    UPDATE verifications v SET deliveries = 0, lease_until = NULL, holder = NULL, not_before = NULL,
                               published_at = NULL
    FROM revived WHERE v.task_id = revived.id AND NOT v.done
    RETURNING v.task_id
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, 'failed', state, :who, 'retried by command', attempt FROM revived RETURNING task_id
""")

SET_DEADLINE = text("""
UPDATE batches SET deadline_at = :deadline, expired_at = NULL WHERE id = :id AND tenant = :tenant
""")

DEAD_TASKS = text("""
SELECT id, batch_id, custom_id, finished_at, error FROM tasks
WHERE state = 'failed' AND tenant = :tenant AND error ->> 'type' = 'DeadLetter'
ORDER BY id DESC LIMIT :n
""")

PARK_MESSAGE = text("""
INSERT INTO parked_messages (queue, body, reason, who) VALUES (:queue, CAST(:body AS jsonb), :reason, :who)
""")

PARKED_MESSAGES = text("""
SELECT id, queue, body, reason, who, at FROM parked_messages WHERE redriven_at IS NULL ORDER BY id DESC LIMIT :n
""")

REDRIVEN = text("UPDATE parked_messages SET redriven_at = now() WHERE id = ANY(:ids) AND redriven_at IS NULL")
