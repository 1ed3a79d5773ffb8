"""Ending what is unfinished in a batch that was cancelled or whose deadline passed, a page at a time.

A batch may have a million tasks, and one statement would hold the locks of all of them for half a minute. So the batch
is marked first, from when on none of its tasks is begun, and its tasks are ended page by page; ``expired_at`` says that
none was left. Whoever dies between two pages leaves a batch that the reconciler finds by its mark.
"""

from __future__ import annotations

from sqlalchemy import text

MARK_CANCELLED = text("""
UPDATE batches SET cancelled_at = coalesce(cancelled_at, now()), expired_at = NULL
WHERE id = :id AND tenant = :tenant RETURNING id
""")

OVER = text("""
(SELECT id, true AS is_cancelled FROM batches WHERE cancelled_at IS NOT NULL AND expired_at IS NULL
 ORDER BY id LIMIT 1)
UNION ALL
(SELECT id, false FROM batches WHERE deadline_at <= now() AND expired_at IS NULL AND cancelled_at IS NULL
 ORDER BY deadline_at LIMIT 1)
LIMIT 1
""")

# Of one batch by its id, and not of whatever batch is late: the planner would look for its tasks among all there are.
# What somebody else has ended meanwhile counts as found, so that a page that is not full is the last.
_PAGE = """
WITH page AS (
    SELECT id FROM tasks WHERE batch_id = :batch_id AND id > :after AND state <> ALL(:final_states)
    ORDER BY id LIMIT :n
), stopping AS (
    SELECT tasks.id, tasks.state FROM tasks JOIN page USING (id)
    WHERE tasks.state <> ALL(:final_states)
      AND EXISTS (SELECT 1 FROM batches WHERE id = :batch_id AND (cancelled_at IS NOT NULL OR deadline_at <= now()))
    ORDER BY tasks.id FOR UPDATE OF tasks
)"""

_COUNTED = """
SELECT (SELECT count(*) FROM page) AS n_found, (SELECT count(*) FROM stopped) AS n_ended,
       (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last
"""

CANCEL_TASKS = text(f"""
{_PAGE}, stopped AS (
    UPDATE tasks SET state = 'cancelled', lease_until = NULL, holder = NULL, finished_at = now()
    FROM stopping WHERE tasks.id = stopping.id
    RETURNING tasks.id, stopping.state AS from_state, tasks.attempt
), logged AS (
    INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
    SELECT id, from_state, 'cancelled', :who, 'batch cancelled', attempt FROM stopped
), turns AS (
    DELETE FROM verifications v USING stopped WHERE v.task_id = stopped.id AND NOT v.done
)
{_COUNTED}
""")  # noqa: S608 (our own constants)

EXPIRE_TASKS = text(f"""
{_PAGE}, stopped AS (
    UPDATE tasks SET state = 'failed', lease_until = NULL, holder = NULL, finished_at = now(),
        error = jsonb_build_object('type', 'DeadlinePassed', 'message',
            'the batch''s deadline passed while the task was ' || stopping.state, 'last_error', tasks.error)
    FROM stopping WHERE tasks.id = stopping.id
    RETURNING tasks.id, stopping.state AS from_state, tasks.attempt
), logged AS (
    INSERT INTO task_events (task_id, from_state, to_state, who, why, attempt)
    SELECT id, from_state, 'failed', :who, 'deadline passed', attempt FROM stopped
)
{_COUNTED}
""")  # noqa: S608 (our own constants)

MARK_ENDED = text("""
UPDATE batches SET expired_at = now() WHERE id = :id AND (cancelled_at IS NOT NULL OR deadline_at <= now())
""")
