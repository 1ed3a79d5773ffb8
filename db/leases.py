"""Who works on what: claims with a fencing number, their renewal and their end.

A claim adds one to ``attempt``; every later write names the attempt it belongs to and touches nothing when a
younger claim exists. Rows are always locked in the order of their ids, so that two workers cannot deadlock. All
times are the database's, so that the clocks of workers do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

CLAIM_TASKS = text("""
WITH free AS (
    SELECT id, state FROM tasks
    WHERE id = ANY(:ids) AND state = ANY(:from_states)
      AND (lease_until IS NULL OR lease_until < now())
      AND (not_before IS NULL OR not_before <= now())
      AND deliveries < :max_deliveries
      AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.name = :queue AND q.paused_at IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM batches b
                      WHERE b.id = tasks.batch_id AND (b.cancelled_at IS NOT NULL OR b.deadline_at <= now()))
    ORDER BY id FOR UPDATE
), taken AS (
    UPDATE tasks SET state = :to_state, attempt = attempt + 1, deliveries = deliveries + 1,
                     holder = :holder, lease_until = now() + make_interval(secs => :lease_s)
    FROM free WHERE tasks.id = free.id
    RETURNING tasks.id, tasks.batch_id, tasks.tenant, tasks.domain, tasks.spec::text AS spec,
              tasks.attempt, tasks.deliveries, free.state AS from_state
), logged AS (
    INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
    SELECT id, from_state, :to_state, :holder,
           CASE WHEN deliveries > 1 THEN 'taken again, delivery ' || deliveries ELSE '' END, attempt
    FROM taken WHERE from_state <> :to_state OR deliveries > 1
)
SELECT * FROM taken ORDER BY id
""")

CLAIM_VERIFICATIONS = text("""
WITH free AS (
    SELECT v.task_id, v.verifier FROM verifications v JOIN tasks t ON t.id = v.task_id
    WHERE v.task_id = ANY(:ids) AND v.verifier = :verifier AND NOT v.done AND t.state = 'verifying'
      AND (v.lease_until IS NULL OR v.lease_until < now())
      AND (v.not_before IS NULL OR v.not_before <= now())
      AND v.deliveries < :max_deliveries
      AND NOT EXISTS (SELECT 1 FROM queues q WHERE q.name = :queue AND q.paused_at IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM batches b
                      WHERE b.id = t.batch_id AND (b.cancelled_at IS NOT NULL OR b.deadline_at <= now()))
    ORDER BY v.task_id FOR UPDATE OF v
), taken AS (
    UPDATE verifications v SET attempt = attempt + 1, deliveries = deliveries + 1,
                     holder = :holder, lease_until = now() + make_interval(secs => :lease_s)
    FROM free WHERE v.task_id = free.task_id AND v.verifier = free.verifier
    RETURNING v.task_id, v.attempt, v.deliveries
)
SELECT t.id, t.batch_id, t.tenant, t.domain, t.spec::text AS spec, taken.attempt, taken.deliveries
FROM taken JOIN tasks t ON t.id = taken.task_id ORDER BY t.id
""")

FORGET_PUBLISHED_TASKS = text("""
UPDATE tasks SET published_at = NULL
WHERE id = ANY(:ids) AND state <> ALL(:final_states) AND (lease_until IS NULL OR lease_until < now())
""")

FORGET_PUBLISHED_VERIFICATIONS = text("""
UPDATE verifications SET published_at = NULL
WHERE task_id = ANY(:ids) AND verifier = :verifier AND NOT done AND (lease_until IS NULL OR lease_until < now())
""")

PUT_BACK_TASKS = text("""
UPDATE tasks SET published_at = NULL
WHERE id = ANY(:ids) AND state = ANY(:from_states) AND (lease_until IS NULL OR lease_until < now())
  AND EXISTS (SELECT 1 FROM queues q WHERE q.name = :queue AND q.paused_at IS NOT NULL)
""")

PUT_BACK_VERIFICATIONS = text("""
UPDATE verifications SET published_at = NULL
WHERE task_id = ANY(:ids) AND verifier = :verifier AND NOT done AND (lease_until IS NULL OR lease_until < now())
  AND EXISTS (SELECT 1 FROM queues q WHERE q.name = :queue AND q.paused_at IS NOT NULL)
""")

# A row that somebody else is writing is not waited for: a cancellation may hold thousands, and the leases of everybody
# else's tasks would run out behind it. It counts as kept; what becomes of it the next renewal finds.
RENEW_TASKS = text("""
WITH held AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS h (id, attempt)
), free AS (
    SELECT tasks.id FROM tasks JOIN held USING (id, attempt)
    WHERE tasks.lease_until IS NOT NULL ORDER BY tasks.id FOR NO KEY UPDATE OF tasks SKIP LOCKED
), renewed AS (
    UPDATE tasks SET lease_until = now() + make_interval(secs => :lease_s) FROM free WHERE tasks.id = free.id
)
SELECT tasks.id FROM tasks JOIN held USING (id, attempt) WHERE tasks.lease_until IS NOT NULL
""")

RENEW_VERIFICATIONS = text("""
WITH held AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS h (task_id, attempt)
), free AS (
    SELECT v.task_id FROM verifications v JOIN held USING (task_id, attempt)
    WHERE v.verifier = :verifier AND v.lease_until IS NOT NULL
    ORDER BY v.task_id FOR NO KEY UPDATE OF v SKIP LOCKED
), renewed AS (
    UPDATE verifications v SET lease_until = now() + make_interval(secs => :lease_s)
    FROM free WHERE v.task_id = free.task_id AND v.verifier = :verifier
)
SELECT v.task_id FROM verifications v JOIN held USING (task_id, attempt)
WHERE v.verifier = :verifier AND v.lease_until IS NOT NULL
""")

MOVE_TASKS = text("""
WITH wanted AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:to_states AS text[]),
                         CAST(:reasons AS text[]), CAST(:errors AS jsonb[]))
             AS w (id, attempt, to_state, why, error)
), locked AS (
    SELECT tasks.id FROM tasks JOIN wanted USING (id, attempt)
    WHERE tasks.state = :from_state ORDER BY tasks.id FOR UPDATE OF tasks
), moved AS (
    UPDATE tasks SET state = wanted.to_state, lease_until = NULL, holder = NULL, deliveries = 0,
                     not_before = NULL, published_at = now(),
                     error = CASE WHEN wanted.to_state = 'failed' THEN wanted.error END,
                     finished_at = CASE WHEN wanted.to_state = ANY(:final_states) THEN now() END
    FROM wanted JOIN locked USING (id) WHERE tasks.id = wanted.id
    RETURNING tasks.id, tasks.urgency, tasks.attempt, wanted.to_state, wanted.why
), logged AS (
    INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
    SELECT id, :from_state, to_state, :who, why, attempt FROM moved
)
SELECT id, urgency, to_state FROM moved ORDER BY id
""")

RELEASE_TASKS = text("""
UPDATE tasks SET lease_until = NULL, holder = NULL, published_at = NULL, error = CAST(:error AS jsonb),
                 deliveries = CASE WHEN :counts THEN deliveries ELSE greatest(deliveries - 1, 0) END,
                 not_before = now() + make_interval(secs => :delay_s)
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held (id, attempt)
WHERE tasks.id = held.id AND tasks.attempt = held.attempt AND tasks.state = :state
""")

RELEASE_VERIFICATIONS = text("""
UPDATE verifications v SET lease_until = NULL, holder = NULL, published_at = NULL,
                 not_before = now() + make_interval(secs => :delay_s)
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held (id, attempt)
WHERE v.task_id = held.id AND v.verifier = :verifier AND v.attempt = held.attempt AND NOT v.done
""")

# A stop is not the task's fault, so it is no delivery; the fencing number goes up, so that threads of the process that
# are still at work can write nothing.
LET_GO_TASKS = text("""
WITH mine AS (
    SELECT tasks.id FROM tasks
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held (id, attempt) USING (id, attempt)
    WHERE tasks.lease_until IS NOT NULL ORDER BY tasks.id FOR UPDATE OF tasks
), freed AS (
    UPDATE tasks SET lease_until = NULL, holder = NULL, published_at = NULL, attempt = tasks.attempt + 1,
                     deliveries = greatest(deliveries - 1, 0)
    FROM mine WHERE tasks.id = mine.id
    RETURNING tasks.id, tasks.state, tasks.attempt
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, state, state, :who, 'its worker was stopped', attempt FROM freed
""")

LET_GO_VERIFICATIONS = text("""
UPDATE verifications v SET lease_until = NULL, holder = NULL, published_at = NULL, attempt = v.attempt + 1,
                     deliveries = greatest(v.deliveries - 1, 0)
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held (id, attempt)
WHERE v.task_id = held.id AND v.verifier = :verifier AND v.attempt = held.attempt AND v.lease_until IS NOT NULL
""")

NOTE_FAULT = text("""
WITH mine AS (
    SELECT id FROM tasks
    WHERE id = ANY(:ids)
      AND (holder = :holder
           OR EXISTS (SELECT 1 FROM verifications v WHERE v.task_id = tasks.id AND v.holder = :holder AND NOT v.done))
    ORDER BY id FOR UPDATE
)
UPDATE tasks SET error = CAST(:error AS jsonb) FROM mine WHERE tasks.id = mine.id
RETURNING tasks.batch_id
""")

LOCK_VERIFYING = text("""
SELECT id FROM tasks WHERE id = ANY(:ids) AND state = 'verifying' ORDER BY id FOR UPDATE
""")

END_VERIFICATIONS = text("""
UPDATE verifications v SET done = true, lease_until = NULL, holder = NULL
FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS held (id, attempt)
WHERE v.task_id = held.id AND v.verifier = :verifier AND v.attempt = held.attempt AND NOT v.done
  AND v.task_id = ANY(:verifying)
RETURNING v.task_id
""")

# The turn stays undone: whoever retries the task goes on with it.
FAIL_VERIFYING = text("""
WITH mine AS (
    UPDATE verifications SET lease_until = NULL, holder = NULL
    WHERE task_id = :id AND verifier = :verifier AND attempt = :attempt AND NOT done
    RETURNING task_id
), parked AS (
    UPDATE tasks SET state = 'failed', finished_at = now(), error = CAST(:error AS jsonb)
    FROM mine WHERE tasks.id = mine.task_id AND tasks.state = 'verifying' RETURNING tasks.id, tasks.attempt
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, 'verifying', 'failed', :who, :why, attempt FROM parked
""")

DECIDE_WHEN_VERIFIED = text("""
WITH moved AS (
    UPDATE tasks SET state = 'deciding', published_at = now(), deliveries = 0
    WHERE id = ANY(:ids) AND state = 'verifying'
      AND NOT EXISTS (SELECT 1 FROM verifications v WHERE v.task_id = tasks.id AND NOT v.done)
    RETURNING id, urgency, attempt
), logged AS (
    INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
    SELECT id, 'verifying', 'deciding', :who, 'last verdict arrived', attempt FROM moved
)
SELECT id, urgency FROM moved ORDER BY id
""")


def renew(
    connection: Connection, held: Sequence[tuple[UUID, int]], *, verifier: str | None, lease_s: float
) -> set[UUID]:
    """Extend leases that are still held and return whose they are; ``verifier`` none means the tasks' own."""
    values = {"ids": [i for i, _ in held], "attempts": [a for _, a in held], "lease_s": lease_s}
    if verifier is None:
        return set(connection.execute(RENEW_TASKS, values).scalars())
    return set(connection.execute(RENEW_VERIFICATIONS, {**values, "verifier": verifier}).scalars())
