"""Statements that count decisions by time and by what they have in common; every one is scoped by the tenant."""

from __future__ import annotations

from sqlalchemy import TextClause, text

from db.finding import Shape, keys_clause, profiles_clause

EVERY = ("day", "week", "month")
BY = {"kind": "e.kind", "domain": "e.domain", "model": "m.model"}
"""What counts can be grouped by, and where it stands."""

_MODELS = "CROSS JOIN LATERAL unnest(string_to_array({}, ',')) AS m (model)"


def decided(shape: Shape, *, every: str | None, by: str | None) -> TextClause:
    """Return the counts of decisions, a row for each period, value, set of reasons and standing of the label.

    The caller adds them up: so many small counts cost no more to make than one, and tell everything.

    Args:
        shape: What is asked; ranges of numbers as their buckets.
        every: One of ``EVERY``; none is all time as one period.
        by: One of ``BY``; none is everything together.
    """
    conditions = [f" AND {keys_clause(shape.keys)}"] if shape.keys else []
    if shape.by_profile:
        profiles = f"SELECT p.id FROM search_profiles p WHERE {profiles_clause(shape)}"  # noqa: S608 (fixed parts)
        conditions.append(f" AND e.profile IN ({profiles})")
    period = "NULL" if every is None else f"date_trunc('{every}', e.decided_at AT TIME ZONE 'UTC')::date"
    return text(
        f"SELECT {period} AS period, {BY[by] if by else 'NULL'} AS value, e.reasons, e.label, "  # noqa: S608 (fixed parts)
        "count(*) AS n, sum(e.set_size) AS set_sizes, sum(e.merge_degree) AS merge_degrees, "
        "sum(e.tokens_spent) AS tokens_spent, sum(e.tokens_saved) AS tokens_saved "
        f"FROM search_entries e {_MODELS.format('e.models') if by == 'model' else ''} "
        "WHERE e.tenant = :tenant AND e.decided_at >= :since AND e.decided_at < :before "
        f"{''.join(conditions)} GROUP BY 1, 2, 3, 4"
    )


def failed(*, every: str | None, by: str | None) -> TextClause:
    """Return how many tasks failed, per period and value; filters are lists, of which empty ones ask for nothing."""
    period = "NULL" if every is None else f"date_trunc('{every}', e.finished_at AT TIME ZONE 'UTC')::date"
    return text(
        f"SELECT {period} AS period, {BY[by] if by else 'NULL'} AS value, count(*) AS n "  # noqa: S608 (fixed parts)
        f"FROM tasks e {_MODELS.format('e.model') if by == 'model' else ''} "
        "WHERE e.tenant = :tenant AND e.state = 'failed' AND e.finished_at >= :since AND e.finished_at < :before "
        "AND (cardinality(CAST(:kinds AS text[])) = 0 OR e.kind = ANY(:kinds)) "
        "AND (cardinality(CAST(:domains AS text[])) = 0 OR e.domain = ANY(:domains)) "
        "AND (cardinality(CAST(:models AS text[])) = 0 OR string_to_array(e.model, ',') && CAST(:models AS text[])) "
        "AND (cardinality(CAST(:batches AS uuid[])) = 0 OR e.batch_id = ANY(CAST(:batches AS uuid[]))) "
        "GROUP BY 1, 2"
    )
