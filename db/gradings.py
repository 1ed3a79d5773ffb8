"""Gradings: which tasks are due, and what they are graded from."""

from __future__ import annotations

from sqlalchemy import text

# A task that lost its chains or its answers keeps the gradings it had: made again, they would be made of nothing.
_DUE = """
  AND EXISTS (SELECT FROM decisions d WHERE d.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM pruned_tasks p WHERE p.task_id = x.task_id)
  AND NOT EXISTS (SELECT FROM redactions r WHERE r.task_id = x.task_id AND r.details -> 'parts' @> '"answers"')
  AND NOT EXISTS (SELECT FROM gradings g WHERE g.task_id = x.task_id
                  AND (g.form = :form OR g.form = 3 AND NOT EXISTS (
                      SELECT FROM gradings c WHERE c.task_id = x.task_id AND c.grade = 'conflicting'))
                  AND g.n_decisions = (SELECT count(*) FROM decisions d WHERE d.task_id = x.task_id)
                  AND g.n_labels = (SELECT count(*) FROM labels l WHERE l.task_id = x.task_id))
ORDER BY x.task_id LIMIT :n
"""

# What came since the last complete pass, a page at a time in the order of tasks; counts say whether it is news.
DUE_BY_LABEL = text(f"""
SELECT DISTINCT x.task_id FROM labels x
WHERE x.tenant = :tenant AND x.task_id > :after AND (CAST(:since AS timestamptz) IS NULL OR x.recorded_at > :since)
{_DUE}
""")  # noqa: S608 (made of constants)

# Tasks are numbered in the order of time: of all labels only those of the oldest such task and of later ones are read.
DUE_BY_DECISION = text(f"""
WITH decided AS MATERIALIZED (
    SELECT task_id FROM decisions WHERE tenant = :tenant AND task_id > :after AND created_at > :since
)
SELECT DISTINCT x.task_id FROM decided x
WHERE EXISTS (SELECT FROM labels l WHERE l.task_id = x.task_id
              AND l.task_id >= (SELECT task_id FROM decided ORDER BY task_id LIMIT 1))
{_DUE}
""")  # noqa: S608 (made of constants)

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
