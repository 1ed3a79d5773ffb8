"""Labels: finding the tasks they are about, what is known of them, and writing."""

from __future__ import annotations

from sqlalchemy import text

NOW = text("SELECT now()")

TASKS_BY_ID = text("SELECT id FROM tasks WHERE tenant = :tenant AND id = ANY(:ids)")

TASKS_BY_NAME = text("""
SELECT t.batch_id, t.custom_id, t.id
FROM unnest(CAST(:batches AS uuid[]), CAST(:names AS text[])) AS n (batch_id, custom_id)
JOIN tasks t ON t.batch_id = n.batch_id AND t.custom_id = n.custom_id
WHERE t.tenant = :tenant
""")

# The tasks' rows are locked in the order of their ids: two files about one task take turns.
LOCK_TASKS = text("SELECT id FROM tasks WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")

LABELS_OF = text("""
SELECT task_id, source, at, answers, correct FROM labels WHERE task_id = ANY(:ids) ORDER BY task_id, at, id
""")

CURRENT_DECISIONS = text("SELECT task_id, id FROM decisions WHERE task_id = ANY(:ids) AND is_current")

INSERT_LABEL = text("""
INSERT INTO labels (id, task_id, tenant, answers, correct, decision_id, source, at)
VALUES (:id, :task_id, :tenant, CAST(:answers AS jsonb), :correct, :decision_id, :source, :at)
""")
