"""Gradings: which tasks are due, what they are graded from, and the window a night learns from."""

from __future__ import annotations

from sqlalchemy import text

# A task that lost its chains keeps the gradings it had: made again, they would be made of nothing.
_DUE = """
  AND EXISTS (SELECT FROM decisions d WHERE d.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM pruned_tasks p WHERE p.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM gradings g WHERE g.task_id = x.task_id AND g.form = :form
                  AND g.n_decisions = (SELECT count(*) FROM decisions d WHERE d.task_id = x.task_id)
                  AND g.n_labels = (SELECT count(*) FROM labels l WHERE l.task_id = x.task_id))
ORDER BY x.task_id LIMIT :n
"""

# What came since the last complete pass, a page at a time in the order of tasks; counts say whether it is news.
DUE_BY_LABEL = text(
    """
SELECT DISTINCT x.task_id FROM labels x
WHERE x.tenant = :tenant AND x.task_id > :after AND (CAST(:since AS timestamptz) IS NULL OR x.recorded_at > :since)
"""
    + _DUE
)

DUE_BY_DECISION = text(
    """
SELECT DISTINCT x.task_id FROM decisions x
WHERE x.tenant = :tenant AND x.task_id > :after AND x.created_at > :since
  AND EXISTS (SELECT FROM labels l WHERE l.task_id = x.task_id)
"""
    + _DUE
)

TASKS = text("SELECT id, domain, spec FROM tasks WHERE id = ANY(:ids) ORDER BY id")

DECISIONS_OF = text("""
SELECT task_id, id, created_at, answer, document FROM decisions WHERE task_id = ANY(:ids)
ORDER BY task_id, created_at, id
""")

LABELS_OF = text("""
SELECT task_id, id, at, recorded_at, answers, correct, decision_id FROM labels WHERE task_id = ANY(:ids)
ORDER BY task_id, at, id
""")

VERDICTS_OF = text("""
SELECT task_id, candidate, verifier, version, outcome, created_at FROM verdicts
WHERE task_id = ANY(:ids) AND candidate LIKE 'answer:%'
""")

FORGET = text("DELETE FROM gradings WHERE task_id = ANY(:ids)")

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


def _column(of: str) -> str:
    return f"array_send(array_agg({of} {_NEWEST}))"


# The same window as one row of columns in the server's binary form, newest first, which NumPy reads as they are. All
# have the order of the index that the rows come from, so that nothing is sorted (from Postgres 16 on).
_COLUMNS = f"""
SELECT count(*) AS n, coalesce(max(n_models), 0) AS n_models, coalesce(bool_or(weighted), false) AS weighted,
       {_column("correct")} AS correct, {_column("answerable")} AS answerable, {_column("confidence")} AS confidence,
       {_column("vote_margin")} AS vote_margin, {_column("coalesce(truth, -1)")} AS truth,
       {_column("n_right")} AS n_right, {_column("n_wrong")} AS n_wrong, {_column("cardinality(masses)")} AS n_masses,
       string_agg(array_send(masses), ''::bytea {_NEWEST}) AS masses,
       string_agg(uuid_send(decision_id) || uuid_send(label_id), ''::bytea {_NEWEST}) AS ids
FROM (SELECT decided_at, decision_id, label_id, correct, answerable, confidence, vote_margin, truth::int4 AS truth,
             masses, cardinality(right_chains) AS n_right, cardinality(wrong_chains) AS n_wrong,
             jsonb_array_length(models) AS n_models, weighted
"""  # noqa: S608 (made of constants)

COLUMNS_OF_DOMAIN = text(f"{_COLUMNS} {_GRADED} AND domain = :domain {_NEWEST} LIMIT :n) newest")

COLUMNS_OF_ALL = text(f"{_COLUMNS} {_GRADED} {_NEWEST} LIMIT :n) newest")

# What was graded in an older form, and pruned since, has no ballot. JSON has no line feeds of its own.
_BALLOTS = f"""
SELECT string_agg(models::text, E'\\n' {_NEWEST}) AS models,
       {_column("cardinality(ballot)")} AS n_ballots, string_agg(array_send(ballot), ''::bytea {_NEWEST}) AS ballots,
       {_column("cardinality(masses)")} AS n_masses, string_agg(array_send(masses), ''::bytea {_NEWEST}) AS masses
FROM (SELECT decided_at, decision_id, models, ballot, coalesce(nullif(ballot_masses, '{{}}'), masses) AS masses
"""  # noqa: S608 (made of constants)

BALLOTS_OF_DOMAIN = text(
    f"{_BALLOTS} {_GRADED} AND domain = :domain {_NEWEST} LIMIT :n) newest WHERE ballot <> '{{}}'"
)

BALLOTS_OF_ALL = text(f"{_BALLOTS} {_GRADED} {_NEWEST} LIMIT :n) newest WHERE ballot <> '{{}}'")

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
