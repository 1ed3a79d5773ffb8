"""What is waiting and should be in the broker: the reconciler's queries.

The rows themselves are the outbox. A queued task that was never published stands in the backlog, from which tasks
are published in turns. Any other row waits when its state says so and nobody holds it; ``published_at`` says when its
message was last sent. It is due when it was never sent, when the lease of the worker that took it ran out after it was
sent, or when it was sent so long ago that the message must be lost.
"""

from __future__ import annotations

from sqlalchemy import text

from db.models import IN_BACKLOG, NOT_YET, UNDER_WAY

TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('merge-reasoner reconciler'))")

QUEUES = text("SELECT name, paused_at IS NOT NULL AS is_paused, window_tasks, broker FROM queues")

REMEMBER_QUEUE = text("""
INSERT INTO queues (name, window_tasks, broker) VALUES (:name, :window_tasks, :broker)
ON CONFLICT (name) DO UPDATE SET window_tasks = :window_tasks, broker = :broker
WHERE queues.window_tasks IS DISTINCT FROM :window_tasks OR queues.broker <> :broker
""")

# A broker that was flushed, or restarted, or is another one altogether, may have lost all that it was given.
FORGET_TASKS = text(f"""
UPDATE tasks SET published_at = NULL
WHERE ({UNDER_WAY}) AND published_at IS NOT NULL AND (lease_until IS NULL OR lease_until < now())
""")  # noqa: S608 (our own constant)

FORGET_VERIFICATIONS = text("""
UPDATE verifications SET published_at = NULL
WHERE NOT done AND published_at IS NOT NULL AND (lease_until IS NULL OR lease_until < now())
""")

RIPEN = text(f"""
WITH ripe AS (
    SELECT id FROM tasks WHERE {NOT_YET} AND not_before <= now()
    ORDER BY not_before LIMIT 20000 FOR UPDATE SKIP LOCKED
)
UPDATE tasks SET not_before = NULL, waits_since = tasks.not_before FROM ripe WHERE tasks.id = ripe.id
""")  # noqa: S608 (our own constant)

# The groups of the backlog are found by jumping from one to the next in its index, so that a million tasks of one
# group cost as much as one; of each group only the oldest are read. A task rises by one for every ``ageing_s`` in which
# it could have begun.
BACKLOG_HEADS = text(f"""
WITH RECURSIVE groups AS (
    (SELECT tenant, model, priority FROM tasks WHERE {IN_BACKLOG} AND route = :route
     ORDER BY tenant, model, priority LIMIT 1)
    UNION ALL
    SELECT further.tenant, further.model, further.priority FROM groups, LATERAL (
        SELECT tenant, model, priority FROM tasks
        WHERE {IN_BACKLOG} AND route = :route
          AND (tenant, model, priority) > (groups.tenant, groups.model, groups.priority)
        ORDER BY tenant, model, priority LIMIT 1
    ) further
)
SELECT head.* FROM groups, LATERAL (
    SELECT id, route, tenant, model, priority, priority + CAST(greatest(0, least(1000000,
               floor(extract(epoch FROM now() - coalesce(waits_since, created_at)) / :ageing_s))) AS int) AS risen
    FROM tasks
    WHERE {IN_BACKLOG} AND route = :route AND tenant = groups.tenant AND model = groups.model
      AND priority = groups.priority
    ORDER BY id LIMIT :n
) head
""")  # noqa: S608 (our own constant)

# Looked up by their keys and judged afterwards: after a large submission, and before its statistics are made, the
# planner takes the backlog for a handful of rows, and would read all of it.
PUBLISH_FROM_BACKLOG = text("""
WITH chosen AS MATERIALIZED (
    SELECT tasks.id, turns.urgency, tasks.state, tasks.published_at, tasks.not_before
    FROM tasks JOIN unnest(CAST(:ids AS uuid[]), CAST(:urgencies AS int[])) AS turns (id, urgency) USING (id)
    ORDER BY tasks.id FOR UPDATE OF tasks SKIP LOCKED
)
UPDATE tasks SET published_at = now(), urgency = chosen.urgency FROM chosen
WHERE tasks.id = chosen.id
  AND chosen.state = 'queued' AND chosen.published_at IS NULL AND chosen.not_before IS NULL
RETURNING tasks.id
""")

OUT = text("""
SELECT tenant, priority, count(*) AS n FROM tasks
WHERE state = 'queued' AND published_at IS NOT NULL AND route = :route GROUP BY tenant, priority
""")

BEGUN = text("""
SELECT tenant, count(*) AS n FROM tasks
WHERE state IN ('generating', 'verifying', 'deciding') AND route = :route GROUP BY tenant
""")

# What died with its worker at its last chance but one is tried alone: it and the tasks that were at work beside it
# have the same count, and would come back together, be taken by the threads of one worker together, and be parked
# together. So one of these suspects is out at a time; its neighbours then end well, and only the culprit is parked.
TASKS_DUE = text(f"""
WITH suspects AS (
    SELECT id, row_number() OVER (ORDER BY urgency DESC, id) AS place,
           bool_or(published_at > lease_until AND published_at >= now() - make_interval(secs => :lost_after_s))
               OVER () AS one_is_out
    FROM tasks
    WHERE ({UNDER_WAY}) AND state = ANY(:states) AND route = ANY(:routes)
      AND lease_until < now() AND deliveries >= greatest(:max_deliveries - 1, 1) AND deliveries < :max_deliveries
), at_work AS (
    SELECT 1 FROM tasks
    WHERE ({UNDER_WAY}) AND state = ANY(:states) AND route = ANY(:routes)
      AND lease_until >= now() AND deliveries >= :max_deliveries LIMIT 1
), due AS (
    SELECT id, coalesce(published_at < lease_until, false) AS lapsed FROM tasks
    WHERE ({UNDER_WAY}) AND state = ANY(:states) AND route = ANY(:routes)
      AND (lease_until IS NULL OR lease_until < now())
      AND (not_before IS NULL OR not_before <= now())
      AND deliveries < :max_deliveries
      AND (published_at IS NULL OR published_at < lease_until
           OR published_at < now() - make_interval(secs => :lost_after_s))
      AND NOT EXISTS (SELECT 1 FROM suspects
                      WHERE suspects.id = tasks.id AND (place > 1 OR one_is_out OR EXISTS (SELECT 1 FROM at_work)))
    ORDER BY urgency DESC, id LIMIT :n FOR UPDATE SKIP LOCKED
)
UPDATE tasks SET published_at = now() FROM due WHERE tasks.id = due.id
RETURNING tasks.id, tasks.urgency, tasks.deliveries, due.lapsed
""")  # noqa: S608 (our own constant)

VERIFICATIONS_DUE = text("""
WITH suspects AS (
    SELECT v.task_id, row_number() OVER (ORDER BY v.task_id) AS place,
           bool_or(v.published_at > v.lease_until
                   AND v.published_at >= now() - make_interval(secs => :lost_after_s)) OVER () AS one_is_out
    FROM verifications v JOIN tasks t ON t.id = v.task_id
    WHERE NOT v.done AND v.verifier = :verifier AND t.state = 'verifying' AND v.lease_until < now()
      AND v.deliveries >= greatest(:max_deliveries - 1, 1) AND v.deliveries < :max_deliveries
), at_work AS (
    SELECT 1 FROM verifications v
    WHERE NOT v.done AND v.verifier = :verifier AND v.lease_until >= now() AND v.deliveries >= :max_deliveries
    LIMIT 1
), due AS (
    SELECT v.task_id, v.verifier, coalesce(v.published_at < v.lease_until, false) AS lapsed
    FROM verifications v JOIN tasks t ON t.id = v.task_id
    WHERE NOT v.done AND v.verifier = :verifier AND t.state = 'verifying'
      AND (v.lease_until IS NULL OR v.lease_until < now())
      AND (v.not_before IS NULL OR v.not_before <= now())
      AND v.deliveries < :max_deliveries
      AND (v.published_at IS NULL OR v.published_at < v.lease_until
           OR v.published_at < now() - make_interval(secs => :lost_after_s))
      AND NOT EXISTS (SELECT 1 FROM suspects WHERE suspects.task_id = v.task_id
                      AND (place > 1 OR one_is_out OR EXISTS (SELECT 1 FROM at_work)))
    ORDER BY t.urgency DESC, t.id LIMIT :n FOR UPDATE OF v SKIP LOCKED
)
UPDATE verifications v SET published_at = now() FROM due, tasks t
WHERE v.task_id = due.task_id AND v.verifier = due.verifier AND t.id = v.task_id
RETURNING t.id, t.urgency, v.deliveries, due.lapsed
""")

PARK_TASKS = text("""
WITH poison AS (
    SELECT id, state, deliveries FROM tasks
    WHERE state IN ('generating', 'deciding') AND deliveries >= :max_deliveries
      AND (lease_until IS NULL OR lease_until < now())
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), parked AS (
    UPDATE tasks SET state = 'failed', finished_at = now(), lease_until = NULL, holder = NULL,
        error = jsonb_build_object('type', 'DeadLetter', 'message',
            'the ' || CASE poison.state WHEN 'deciding' THEN 'decide' ELSE 'generate' END || ' stage was begun '
                || poison.deliveries || ' times and never ended'
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
    SELECT DISTINCT ON (v.task_id) v.task_id, v.verifier, v.deliveries, v.holder
    FROM verifications v JOIN tasks t ON t.id = v.task_id
    WHERE NOT v.done AND v.deliveries >= :max_deliveries AND (v.lease_until IS NULL OR v.lease_until < now())
      AND t.state = 'verifying'
    ORDER BY v.task_id LIMIT 1000
), locked AS (
    SELECT tasks.id FROM tasks JOIN poison ON tasks.id = poison.task_id
    WHERE tasks.state = 'verifying' ORDER BY tasks.id FOR UPDATE OF tasks SKIP LOCKED
), parked AS (
    UPDATE tasks SET state = 'failed', finished_at = now(),
        error = jsonb_build_object('type', 'DeadLetter', 'message',
            'verify.' || poison.verifier || ' was begun ' || poison.deliveries || ' times and never ended'
                || coalesce('; the last time: ' || (tasks.error ->> 'message'), ''),
            'last_holder', poison.holder, 'last_error', tasks.error)
    FROM poison JOIN locked ON locked.id = poison.task_id WHERE tasks.id = poison.task_id
    RETURNING tasks.id, tasks.attempt, tasks.error ->> 'message' AS why
)
INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
SELECT id, 'verifying', 'failed', :who, why, attempt FROM parked RETURNING task_id
""")
