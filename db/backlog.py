"""The backlog as a whole: how much stands in it and since when, for whoever looks.

Millions of rows may stand there, so none is read: they are counted in their index, and the oldest is looked for among
the heads of the groups, which are found by jumping from one to the next.
"""

from __future__ import annotations

from db.models import IN_BACKLOG

BACKLOG = f"""
heads AS (
    (SELECT route, tenant, model, priority, id FROM tasks WHERE {IN_BACKLOG}
     ORDER BY route, tenant, model, priority, id LIMIT 1)
    UNION ALL
    SELECT further.* FROM heads, LATERAL (
        SELECT route, tenant, model, priority, id FROM tasks
        WHERE {IN_BACKLOG}
          AND (route, tenant, model, priority) > (heads.route, heads.tenant, heads.model, heads.priority)
        ORDER BY route, tenant, model, priority, id LIMIT 1
    ) further
), counted AS (
    SELECT route, count(*) AS n FROM tasks WHERE {IN_BACKLOG} GROUP BY route
), backlog AS (
    SELECT counted.route, counted.n, min(tasks.created_at) AS oldest_at
    FROM counted JOIN heads USING (route) JOIN tasks ON tasks.id = heads.id GROUP BY counted.route, counted.n
)
"""  # noqa: S608 (our own constant)
"""For a ``WITH RECURSIVE``: the table ``backlog`` of route, n and oldest_at."""
