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

# Those of which it can't be told whether they are right are few, and most windows hold none.
_WITH_UNTOLD = _GRADED.replace("grade = 'graded'", "grade <> 'spread'")

_NEWEST = "ORDER BY decided_at DESC, decision_id DESC"

N_LOOKED_AT = 20
"""Gradings of a window that tell, before it is read, whether its ballots will be asked for."""


def _joined(of: str) -> str:
    return f"string_agg({of}, ''::bytea {_NEWEST})"


# A window as one row, its gradings newest first, in the server's binary form, which NumPy reads as it is. All have the
# order of the index that the rows come from, so that nothing is sorted (from Postgres 16 on, and not with FILTER).
#
# Ballots are only sent where other weights may change one of the window's newest gradings, or when they are asked for;
# what was graded in an older form, and pruned since, has an empty one. JSON has no line feeds of its own.
def _window(rows: str, *, told: str = "NULL::bytea") -> str:
    look = f"SELECT jsonb_array_length(models) > 1 OR weighted AS pool {rows} {_NEWEST} LIMIT {N_LOOKED_AT}"
    return f"""
SELECT {_joined("numbers")} AS numbers, {_joined("array_send(masses)")} AS masses,
       string_agg(CASE WHEN sent THEN models::text END, E'\\n' {_NEWEST}) AS models,
       {_joined("CASE WHEN sent THEN array_send(ballot) END")} AS ballots,
       {_joined("CASE WHEN sent THEN array_send(ballot_masses) END")} AS ballot_masses,
       {told} AS told
FROM (SELECT decided_at, decision_id, grade, numbers, masses, models, ballot, ballot_masses,
             :ballots OR (SELECT bool_or(pool) FROM ({look}) newest) AS sent
      {rows} {_NEWEST} LIMIT :n) newest
"""  # noqa: S608 (made of constants)


_TOLD = _joined("boolsend(grade = 'graded')")

WINDOWS = {
    (True, False): text(_window(f"{_GRADED} AND domain = :domain")),
    (False, False): text(_window(_GRADED)),
    (True, True): text(_window(f"{_WITH_UNTOLD} AND domain = :domain", told=_TOLD)),
    (False, True): text(_window(_WITH_UNTOLD, told=_TOLD)),
}
"""By whether it is of one domain, and whether it holds what can't be told right or wrong."""

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
