"""Statements of the search: newest first, either along the order of time or through the facets of a week.

Every one is scoped by the tenant twice: by its column, and by the facets, which are hashed with it. What a caller
chooses arrives as parameters only; the texts here are put together from fixed parts.
"""

from __future__ import annotations

from sqlalchemy import TextClause, text

PROBE = 10_000
"""Entries read along the order of time before the facets are asked."""

MOST = 2000
"""Entries that are fetched by facets; where more have them, they are dense enough to be met along the order of time."""

HASHED = "ARRAY(SELECT hashtextextended(:tenant || E'\\n' || f, 0) FROM unnest(CAST(:{} AS text[])) f)"

_BEFORE = "(decided_at, task_id) < (:before, :before_id) AND decided_at >= :since"

_RANGES = "vote_margin BETWEEN :margin_from AND :margin_until AND merge_degree BETWEEN :degree_from AND :degree_until"

_NEWEST = "ORDER BY decided_at DESC, task_id DESC"

OLDEST = text("SELECT min(decided_at) FROM search_entries WHERE tenant = :tenant")


# Everything here has an index, but the planner cannot know how frequent a facet is and may find a table quicker; nor
# can a plan be kept that was made for other facets.
PLANNING = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)"
)


def facets_clause(n_groups: int, *, facets: str = "facets") -> str:
    """Return the condition on facets: all of ``:all``, and one at least of each of ``n_groups`` more lists."""
    conditions = [f"(cardinality(CAST(:all AS text[])) = 0 OR {facets} @> {HASHED.format('all')})"]
    conditions += [f"{facets} && {HASHED.format(f'any_{i}')}" for i in range(n_groups)]
    return " AND ".join(conditions)


def along_time(n_groups: int) -> TextClause:
    """Return up to ``:n`` task ids among the newest ``PROBE`` entries before a place."""
    return text(
        f"SELECT task_id, decided_at FROM (SELECT * FROM search_entries WHERE tenant = :tenant AND {_BEFORE} "  # noqa: S608 (fixed parts)
        f"{_NEWEST} LIMIT {PROBE}) newest WHERE {facets_clause(n_groups)} AND {_RANGES} {_NEWEST} LIMIT :n"
    )


END_OF_PROBE = text(
    f"SELECT decided_at, task_id FROM search_entries WHERE tenant = :tenant AND {_BEFORE} {_NEWEST} "  # noqa: S608 (fixed parts)
    f"OFFSET {PROBE - 1} LIMIT 1"
)


def in_weeks(n_groups: int) -> TextClause:
    """Return up to ``:most`` task ids that have the facets in one of ``:weeks``, and whether the rest ``fits``, too.

    Materialised, so that the planner cannot walk along the order of time instead, which it does when it takes a
    rare combination for a common one.
    """
    conditions = [f"facets @> {HASHED.format('all')}"] + [
        f"facets && {HASHED.format(name)}" for name in ("weeks", *(f"any_{i}" for i in range(n_groups)))
    ]
    return text(
        f"WITH found AS MATERIALIZED (SELECT * FROM search_entries WHERE {' AND '.join(conditions)} LIMIT :most) "  # noqa: S608 (fixed parts)
        f"SELECT task_id, decided_at, tenant = :tenant AND {_BEFORE} AND {_RANGES} AS fits FROM found"
    )


FOUND = text("""
SELECT e.task_id, e.decision_id, t.batch_id, t.custom_id, e.kind, t.mode, e.domain, t.state, e.decided_at, d.answer,
       e.abstained, d.abstain_reasons, d.confidence, e.vote_margin, d.merge_degree, e.set_size, e.models, e.label,
       d.calibration_id, d.configuration, d.code_version, e.tokens_spent, e.tokens_saved
FROM search_entries e JOIN tasks t ON t.id = e.task_id JOIN decisions d ON d.id = e.decision_id
WHERE e.tenant = :tenant AND e.task_id = ANY(:ids)
ORDER BY e.decided_at DESC, e.task_id DESC
""")

SAVE_QUERY = text("""
INSERT INTO saved_queries (tenant, name, filters) VALUES (:tenant, :name, CAST(:filters AS jsonb))
ON CONFLICT (tenant, name) DO UPDATE SET filters = excluded.filters, created_at = now()
""")

GET_QUERY = text("SELECT filters FROM saved_queries WHERE tenant = :tenant AND name = :name")

LIST_QUERIES = text(
    "SELECT name, filters, created_at FROM saved_queries WHERE tenant = :tenant ORDER BY name"
)

REMOVE_QUERY = text("DELETE FROM saved_queries WHERE tenant = :tenant AND name = :name RETURNING name")
