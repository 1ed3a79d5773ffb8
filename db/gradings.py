"""Gradings: which tasks are due, what they are graded from, and the window a night learns from."""

from __future__ import annotations

from sqlalchemy import text

# A task that lost its chains keeps the gradings it had: made again, they would be made of nothing.
_DUE = """
  AND EXISTS (SELECT FROM tasks t WHERE t.id = x.task_id AND t.mode = 'merge')
  AND EXISTS (SELECT FROM decisions d WHERE d.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM pruned_tasks p WHERE p.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM gradings g WHERE g.task_id = x.task_id
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

FORGET = text("DELETE FROM gradings WHERE task_id = ANY(:ids)")

_IN_FORCE = """
  AND known_at <= :as_of AND (until_at IS NULL OR until_at > :as_of)
  AND decided_at > :window_from AND decided_at <= :as_of
"""

_WINDOW = (
    """
SELECT task_id, decision_id, label_id, decided_at, domain, correct, answerable, confidence, vote_margin, truth, masses,
       right_chains, wrong_chains, jsonb_array_length(models) AS n_models, weighted
FROM gradings WHERE tenant = :tenant AND grade = 'graded'
"""
    + _IN_FORCE
)

_NEWEST = "ORDER BY decided_at DESC, decision_id DESC LIMIT :n"

WINDOW_OF_DOMAIN = text(f"{_WINDOW} AND domain = :domain {_NEWEST}")

WINDOW_OF_ALL = text(f"{_WINDOW} {_NEWEST}")

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
