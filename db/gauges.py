"""What the whole queue looks like at this moment: counts that an operator watches.

Only tasks in work are looked at, through the index of those; a million finished rows cost nothing here.
"""

from __future__ import annotations

from sqlalchemy import text

STATES = text("""
SELECT state, count(*) AS n,
       extract(epoch FROM now() - min(coalesce(published_at, created_at)))::float8 AS oldest_s,
       count(*) FILTER (WHERE lease_until > now()) AS held,
       count(*) FILTER (WHERE lease_until < now()) AS lapsed,
       count(*) FILTER (WHERE deliveries > 1) AS redelivered
FROM tasks WHERE state IN ('queued', 'generating', 'verifying', 'deciding') GROUP BY state
""")

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
