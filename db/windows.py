"""The window of gradings that a night learns from."""

from __future__ import annotations

from sqlalchemy import text

_IN_FORCE = """
  AND known_at <= :as_of AND (until_at IS NULL OR until_at > :as_of)
  AND decided_at > :window_from AND decided_at <= :as_of
"""

_GRADED = (
    """
FROM gradings WHERE tenant = :tenant AND grade = 'graded'
"""
    + _IN_FORCE
)

_NEWEST = "ORDER BY decided_at DESC, decision_id DESC"

N_LOOKED_AT = 20
"""Gradings of a window that tell, before it is read, whether its ballots will be asked for."""


def _column(of: str) -> str:
    return f"array_send(array_agg({of} {_NEWEST}))"


def _joined(of: str) -> str:
    return f"string_agg({of}, ''::bytea {_NEWEST})"


# A window as one row of columns in the server's binary form, newest first, which NumPy reads as they are. All have the
# order of the index that the rows come from, so that nothing is sorted (from Postgres 16 on, and not with FILTER).
#
# Ballots are only sent where other weights may change one of the window's newest gradings, or when they are asked for;
# what was graded in an older form, and pruned since, has an empty one. JSON has no line feeds of its own.
def _columns(window: str) -> str:
    look = f"SELECT jsonb_array_length(models) > 1 OR weighted AS pool {window} {_NEWEST} LIMIT {N_LOOKED_AT}"
    return f"""
SELECT coalesce(max(n_models), 0) AS n_models, coalesce(bool_or(weighted), false) AS weighted,
       {_column("correct")} AS correct, {_column("answerable")} AS answerable, {_column("confidence")} AS confidence,
       {_column("vote_margin")} AS vote_margin, {_column("coalesce(truth, -1)")} AS truth,
       {_column("n_right")} AS n_right, {_column("n_wrong")} AS n_wrong, {_column("cardinality(masses)")} AS n_masses,
       {_joined("array_send(masses)")} AS masses, {_joined("uuid_send(decision_id) || uuid_send(label_id)")} AS ids,
       string_agg(CASE WHEN sent THEN models::text END, E'\\n' {_NEWEST}) AS models,
       {_joined("CASE WHEN sent THEN array_send(ballot) END")} AS ballots,
       {_joined("CASE WHEN sent THEN array_send(ballot_masses) END")} AS ballot_masses,
       {_column("CASE WHEN sent THEN cardinality(ballot) ELSE 0 END")} AS n_ballots,
       {_column("CASE WHEN sent THEN cardinality(ballot_masses) ELSE 0 END")} AS n_ballot_masses
FROM (SELECT decided_at, decision_id, label_id, correct, answerable, confidence, vote_margin, truth::int4 AS truth,
             masses, cardinality(right_chains) AS n_right, cardinality(wrong_chains) AS n_wrong,
             jsonb_array_length(models) AS n_models, weighted, models, ballot, ballot_masses,
             :ballots OR (SELECT bool_or(pool) FROM ({look}) newest) AS sent
      {window} {_NEWEST} LIMIT :n) newest
"""  # noqa: S608 (made of constants)


COLUMNS_OF_DOMAIN = text(_columns(f"{_GRADED} AND domain = :domain"))

COLUMNS_OF_ALL = text(_columns(_GRADED))

VERDICT_COUNTS = text(
    f"""
SELECT d.domain, v ->> 0 AS verifier, v ->> 1 AS version, sum((v ->> 2)::int) AS right_confirmed,
       sum((v ->> 3)::int) AS right_refuted, sum((v ->> 4)::int) AS right_abstained,
       sum((v ->> 5)::int) AS wrong_confirmed, sum((v ->> 6)::int) AS wrong_refuted,
       sum((v ->> 7)::int) AS wrong_abstained
FROM unnest(CAST(:domains AS text[])) AS d (domain)
CROSS JOIN LATERAL (SELECT verdicts {_GRADED} AND gradings.domain = d.domain {_NEWEST} LIMIT :n) newest
CROSS JOIN LATERAL jsonb_array_elements(newest.verdicts) AS v
GROUP BY 1, 2, 3
"""  # noqa: S608 (made of constants)
)

# A walk along the index: one step a domain, however many rows each has.
DOMAINS = text("""
WITH RECURSIVE walk AS (
    (SELECT domain FROM gradings WHERE tenant = :tenant ORDER BY domain LIMIT 1)
    UNION ALL
    SELECT (SELECT g.domain FROM gradings g WHERE g.tenant = :tenant AND g.domain > walk.domain
            ORDER BY g.domain LIMIT 1)
    FROM walk WHERE walk.domain IS NOT NULL
)
SELECT domain FROM walk WHERE domain IS NOT NULL ORDER BY domain
""")

LEFT_OUT = text("""
SELECT domain, grade, count(*) AS n FROM gradings
WHERE tenant = :tenant AND grade <> 'graded'
  AND known_at <= :as_of AND (until_at IS NULL OR until_at > :as_of)
  AND decided_at > :window_from AND decided_at <= :as_of
GROUP BY domain, grade ORDER BY domain, grade
""")
