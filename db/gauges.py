"""What the whole queue looks like at this moment: counts that an operator watches.

Tasks in work are read through the index of those, and the backlog is counted in its own; finished rows cost nothing.
"""

from __future__ import annotations

from sqlalchemy import text

from db.backlog import BACKLOG
from db.models import NOT_YET, UNDER_WAY

STATES = text(f"""
WITH RECURSIVE {BACKLOG}
SELECT state, CAST(sum(n) AS bigint) AS n, CAST(extract(epoch FROM now() - min(oldest_at)) AS float8) AS oldest_s,
       CAST(sum(held) AS bigint) AS held, CAST(sum(lapsed) AS bigint) AS lapsed,
       CAST(sum(redelivered) AS bigint) AS redelivered
FROM (
    SELECT 'queued' AS state, n, oldest_at, 0 AS held, 0 AS lapsed, 0 AS redelivered FROM backlog
    UNION ALL
    SELECT state, count(*), min(created_at), 0, 0, 0 FROM tasks WHERE {NOT_YET} GROUP BY state
    UNION ALL
    SELECT state, count(*), min(coalesce(published_at, created_at)), count(*) FILTER (WHERE lease_until > now()),
           count(*) FILTER (WHERE lease_until < now()), count(*) FILTER (WHERE deliveries > 1)
    FROM tasks WHERE {UNDER_WAY} GROUP BY state
) waiting GROUP BY state
""")  # noqa: S608 (our own constants)

VERIFIERS = text("""
SELECT v.verifier, count(*) AS n,
       extract(epoch FROM now() - min(coalesce(v.published_at, t.created_at)))::float8 AS oldest_s,
       count(*) FILTER (WHERE v.lease_until > now()) AS held,
       count(*) FILTER (WHERE v.lease_until < now()) AS lapsed,
       count(*) FILTER (WHERE v.deliveries > 1) AS redelivered
FROM verifications v JOIN tasks t ON t.id = v.task_id
WHERE NOT v.done AND t.state = 'verifying' GROUP BY v.verifier
""")

CALIBRATIONS = text("""
SELECT tenant, domain, extract(epoch FROM now() - coalesce(activated_at, created_at))::float8 AS age_s
FROM calibrations WHERE status = 'active'
""")
