"""Statements of the search, newest first: along the order of time, by profile, or by what is kept as a key.

Every one is scoped by the tenant: by its column, or by a key that is hashed with it. What a caller chooses arrives as
parameters only; the texts here are put together from fixed parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import TextClause, text

KEYS = ("batch", "answer", "calibration")
"""What an entry has a key of, with an index each; the rarest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a search asks, but for the values: they are parameters.

    Those of facets are ``:all``, which a profile must have, and ``:any_0`` and so on, of which it must have one each.
    """

    n_groups: int = 0
    """Lists of alternatives among the facets."""

    keys: tuple[str, ...] = ()
    """Of ``KEYS``; the values of each are a parameter of its name."""

    by_profile: bool = True
    """Whether facets are asked for."""

    by_numbers: bool = False
    """Whether a range begins or ends within a bucket, so that the numbers themselves are to be compared."""


# Everything here has an index, but the planner cannot know how frequent a facet is and may find a table quicker; nor
# can a plan be kept that was made for other facets; nor is a page worth compiling anything.
PLANNING = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true), "
    "set_config('jit', 'off', true)"
)

_BEFORE = "(e.decided_at, e.task_id) < (:before, :before_id) AND e.decided_at >= :since"

_RANGES = "vote_margin BETWEEN :margin_from AND :margin_until AND merge_degree BETWEEN :degree_from AND :degree_until"

_NEWEST = "ORDER BY decided_at DESC, task_id DESC"


def profiles_clause(shape: Shape) -> str:
    """Return the condition on a profile ``p``; the tenant is one of its facets, too, and so part of its index."""
    conditions = [
        "p.tenant = :tenant",
        "p.facets @> ('tenant=' || CAST(:tenant AS text) || CAST(:all AS text[]))",
    ]
    conditions += [f"p.facets && CAST(:any_{i} AS text[])" for i in range(shape.n_groups)]
    return " AND ".join(conditions)


def keys_clause(keys: tuple[str, ...]) -> str:
    """Return the condition on the keys of an entry ``e``."""
    return " AND ".join(
        f"e.{key} = ANY(ARRAY(SELECT {_key(key, 'value')} FROM unnest(CAST(:{key} AS text[])) AS value))"  # noqa: S608 (fixed parts)
        for key in keys
    )


def walk(shape: Shape) -> TextClause:
    """Return which of the newest ``:walk`` entries before a place, of the wanted keys, fit: the newest ``:n``.

    The last of them all is among the rows, too, as number ``i`` = ``:walk``, unless there were fewer or ``:n`` fit.
    Profiles are looked up once for all entries that share them (OFFSET 0 leaves the planner nothing else), so that no
    others are read, however many would fit.
    """
    columns = "task_id, decided_at, profile" + ", vote_margin, merge_degree" * shape.by_numbers
    conditions = [_RANGES] if shape.by_numbers else []
    if shape.by_profile:
        conditions.append(
            "profile IN (SELECT one.profile FROM (SELECT DISTINCT profile FROM newest) one CROSS JOIN LATERAL "  # noqa: S608 (fixed parts)
            f"(SELECT FROM search_profiles p WHERE p.id = one.profile AND {profiles_clause(shape)} OFFSET 0) p)"
        )
    return text(
        f"WITH newest AS MATERIALIZED ({_of_keys(shape, columns) if shape.keys else _of_tenant(columns)}), "  # noqa: S608 (fixed parts)
        f"looked AS (SELECT task_id, decided_at, {' AND '.join(conditions) or 'true'} AS fits, "
        f"row_number() OVER ({_NEWEST}) AS i FROM newest) "
        f"SELECT task_id, decided_at, fits, i FROM looked WHERE fits OR i = :walk {_NEWEST} LIMIT :n + 1"
    )


def _of_tenant(columns: str) -> str:
    return (
        f"SELECT {columns} FROM search_entries e WHERE e.tenant = :tenant AND {_BEFORE} {_NEWEST} LIMIT :walk"  # noqa: S608 (fixed parts)
    )


def _of_keys(shape: Shape, columns: str) -> str:
    """Return the entries of the keys, each value's by its index in the order of time."""
    key, *others = shape.keys
    also = f"AND {keys_clause(tuple(others))}" if others else ""
    return (
        f"SELECT e.* FROM (SELECT DISTINCT {_key(key, 'value')} AS key "  # noqa: S608 (fixed parts)
        f"FROM unnest(CAST(:{key} AS text[])) AS value) wanted CROSS JOIN LATERAL (SELECT {columns} "
        f"FROM search_entries e WHERE e.{key} = wanted.key AND {_BEFORE} {also} {_NEWEST} LIMIT :walk) e "
        f"{_NEWEST} LIMIT :walk"
    )


def spans(shape: Shape) -> TextClause:
    """Return the spans from ``:first`` to ``:last`` that have profiles that fit, newest first, and how many."""
    return text(
        f"SELECT span, count(*) AS n FROM search_profiles p WHERE {profiles_clause(shape)} "  # noqa: S608 (fixed parts)
        "AND p.span BETWEEN :first AND :last GROUP BY span ORDER BY span DESC"
    )


def by_profile(shape: Shape) -> TextClause:
    """Return up to ``:n`` task ids that have one of the profiles that fit, of the spans ``:first`` to ``:last``."""
    ranges = f"AND {_RANGES}" if shape.by_numbers else ""
    return text(
        "SELECT e.task_id, e.decided_at FROM search_profiles p CROSS JOIN LATERAL ("  # noqa: S608 (fixed parts)
        f"SELECT task_id, decided_at FROM search_entries e WHERE e.profile = p.id AND {_BEFORE} {ranges} "
        f"{_NEWEST} LIMIT :n) e WHERE {profiles_clause(shape)} AND p.span BETWEEN :first AND :last "
        f"{_NEWEST} LIMIT :n"
    )


def _key(key: str, value: str) -> str:
    return f"hashtextextended(:tenant || E'\\n{key}=' || {value}, 0)"


FOUND = text("""
SELECT e.task_id, e.decision_id, t.batch_id, t.custom_id, e.kind, t.mode, e.domain, t.state, e.decided_at, d.answer,
       e.abstained, d.abstain_reasons, d.confidence, e.vote_margin, d.merge_degree, e.set_size, e.models, e.label,
       d.calibration_id, d.configuration, d.code_version, e.tokens_spent, e.tokens_saved
FROM search_entries e JOIN tasks t ON t.id = e.task_id JOIN decisions d ON d.id = e.decision_id
WHERE e.tenant = :tenant AND e.task_id = ANY(:ids)
ORDER BY e.decided_at DESC, e.task_id DESC
""")

SAVE_QUERY = text("""
WITH before AS (SELECT filters FROM saved_queries WHERE tenant = :tenant AND name = :name)
INSERT INTO saved_queries (tenant, name, filters) VALUES (:tenant, :name, CAST(:filters AS jsonb))
ON CONFLICT (tenant, name) DO UPDATE SET filters = excluded.filters, created_at = now()
RETURNING (SELECT filters FROM before)
""")

GET_QUERY = text("SELECT filters FROM saved_queries WHERE tenant = :tenant AND name = :name")

LIST_QUERIES = text(
    "SELECT name, filters, created_at FROM saved_queries WHERE tenant = :tenant ORDER BY name"
)

REMOVE_QUERY = text("DELETE FROM saved_queries WHERE tenant = :tenant AND name = :name RETURNING name")
