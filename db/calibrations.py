"""Calibrations: what is and was in force, runs, and the locks that keep two from working at once."""

from __future__ import annotations

from sqlalchemy import text

# One run of a tenant at a time; the server drops the lock with the connection if we crash.
TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtext('merge-reasoner calibrate'), hashtext(:tenant))")

UNLOCK = text("SELECT pg_advisory_unlock(hashtext('merge-reasoner calibrate'), hashtext(:tenant))")

# Activations take turns, whoever asks for them.
LOCK_ACTIVATION = text("SELECT pg_advisory_xact_lock(hashtext('merge-reasoner activate'), hashtext(:tenant))")

# A row's time is that of its transaction's start, so what is written by a transaction still open may bear a time that
# has passed. A night therefore knows only what began before the oldest of them (an hour back at most, lest a forgotten
# session stop the clock). Of other logins' sessions a login without pg_read_all_stats sees no more than that they are
# there, and whether a transaction of theirs is open it can't tell: it goes ten minutes back.
NOW_KNOWN = text("""
SELECT greatest(now() - interval '1 hour', least(now(), (
    SELECT min(CASE WHEN backend_type IS NULL OR state = 'disabled' THEN now() - interval '10 minutes'
                    WHEN state <> 'idle' THEN xact_start END) - interval '1 microsecond'
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_type = 'client backend' OR backend_type IS NULL))))
""")

IN_FORCE = text("""
WITH active AS (
    SELECT calibration_id FROM (
        SELECT DISTINCT ON (calibration_id) calibration_id, to_status FROM calibration_events
        WHERE at <= :as_of ORDER BY calibration_id, at DESC, id DESC) last
    WHERE to_status = 'active'
)
SELECT * FROM (
    SELECT c.*, c.tenant = :tenant AND c.id IN (SELECT calibration_id FROM active) AS is_active FROM calibrations c
    WHERE c.tenant = :tenant OR c.id = :first) c
WHERE is_active OR id = :first
""")

SET_STATUS = text("""
WITH changing AS (
    SELECT id, status FROM calibrations WHERE id = :id FOR UPDATE
), changed AS (
    UPDATE calibrations SET status = :status,
        activated_at = CASE WHEN :status = 'active' THEN clock_timestamp() ELSE activated_at END
    FROM changing WHERE calibrations.id = changing.id
    RETURNING calibrations.id, changing.status AS from_status
)
INSERT INTO calibration_events (id, calibration_id, from_status, to_status, who, why, at)
SELECT :event_id, id, from_status, :status, :who, :why, clock_timestamp() FROM changed
""")

FIRST_EVENT = text("""
INSERT INTO calibration_events (id, calibration_id, to_status, who, why, at)
VALUES (:event_id, :id, :status, :who, :why, clock_timestamp())
""")

ACTIVE_ID = text("""
SELECT id FROM calibrations WHERE tenant = :tenant AND domain = :domain AND status = 'active' FOR UPDATE
""")

# The one before in the order in which they first came into force, so that going back twice goes back two.
BEFORE = text("""
WITH first AS (
    SELECT c.id, c.status, min(e.at) AS at FROM calibrations c JOIN calibration_events e ON e.calibration_id = c.id
    WHERE c.tenant = :tenant AND c.domain = :domain AND e.to_status = 'active' GROUP BY c.id, c.status
)
SELECT id FROM first WHERE status = 'retired' AND at < (SELECT at FROM first WHERE id = :active)
ORDER BY at DESC, id DESC LIMIT 1
""")

LIST = text("""
SELECT * FROM calibrations WHERE tenant = ANY(:tenants) AND (CAST(:domain AS text) IS NULL OR domain = :domain)
  AND (NOT :active OR status = 'active')
ORDER BY created_at DESC, id DESC LIMIT :n
""")

OF_RUN = text("SELECT * FROM calibrations WHERE run_id = :run_id ORDER BY domain, id")

# What was in force in a domain, oldest first.
HISTORY = text("""
SELECT e.at, e.to_status, c.id, c."lambda", c.tau_margin, c.tau_conf FROM calibration_events e
JOIN calibrations c ON c.id = e.calibration_id
WHERE c.tenant = :tenant AND c.domain = :domain AND e.to_status = 'active' AND e.at <= :until ORDER BY e.at, e.id
""")

RUN = text("SELECT * FROM calibration_runs WHERE tenant = :tenant AND id = :id")

LAST_RUN = text("""
SELECT * FROM calibration_runs WHERE tenant = :tenant AND finished_at IS NOT NULL AND error IS NULL
ORDER BY as_of DESC, id DESC LIMIT 1
""")

RUN_AS_OF = text("""
SELECT * FROM calibration_runs WHERE tenant = :tenant AND as_of = :as_of AND error IS NULL ORDER BY id DESC LIMIT 1
""")

# Everything before it was graded completely; a day more is looked at, for transactions that were open then.
GRADED_THROUGH = text("""
SELECT max(started_at) - interval '1 day' FROM calibration_runs
WHERE tenant = :tenant AND finished_at IS NOT NULL AND error IS NULL AND form = :form
  AND counts @> '{"ungradable": 0}'
""")

FINISH_RUN = text("""
UPDATE calibration_runs SET finished_at = clock_timestamp(), error = :error, counts = CAST(:counts AS jsonb)
WHERE id = :id
""")

# Due once a day at its time, for all domains, also when that passed while nothing ran; a failed run is tried again
# after an hour. The walk takes one step of the index a tenant, since this is asked every minute.
TENANTS_DUE = text("""
WITH RECURSIVE slot AS (
    SELECT date_trunc('day', now() AT TIME ZONE 'UTC') + CAST(:at AS time) AS today
), due AS (
    SELECT CASE WHEN today <= now() AT TIME ZONE 'UTC' THEN today ELSE today - interval '1 day' END
               AT TIME ZONE 'UTC' AS since FROM slot
), walk AS (
    (SELECT tenant FROM labels ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT l.tenant FROM labels l WHERE l.tenant > walk.tenant ORDER BY l.tenant LIMIT 1)
    FROM walk WHERE walk.tenant IS NOT NULL
)
SELECT w.tenant FROM walk w, due
WHERE EXISTS (SELECT FROM labels l WHERE l.tenant = w.tenant AND l.recorded_at <= due.since)
  AND NOT EXISTS (SELECT FROM calibration_runs r WHERE r.tenant = w.tenant AND r.started_at >= due.since
                  AND NOT jsonb_exists(r.counts, 'only')
                  AND (r.finished_at IS NOT NULL AND r.error IS NULL OR r.started_at > now() - interval '1 hour'))
ORDER BY w.tenant
""")
