"""Redaction: reading the texts of a task, and putting others in their place."""

from __future__ import annotations

from sqlalchemy import TextClause, text

from db.seals import KEEPER_ROLE

BE_KEEPER = text(f"SET LOCAL ROLE {KEEPER_ROLE}")
BE_ONESELF = text("RESET ROLE")

LOCK_TASK = text("SELECT id FROM tasks WHERE id = :id FOR UPDATE")

SPEC = text("SELECT spec FROM tasks WHERE id = :id")

READ: dict[str, TextClause] = {
    "chains": text("SELECT index AS number, answer FROM chains WHERE task_id = :id ORDER BY index"),
    "verdicts": text("SELECT candidate, verifier, version FROM verdicts WHERE task_id = :id"),
    "decisions": text("SELECT id, answer, document FROM decisions WHERE task_id = :id"),
    "labels": text("SELECT id, answers FROM labels WHERE task_id = :id"),
}

JSON_COLUMNS = frozenset({"spec", "document", "answers"})

# What a fault said may quote the task.
REPLACE: dict[str, TextClause] = {
    "prompt": text("""
        UPDATE tasks SET spec = CAST(:spec AS jsonb),
            error = CASE WHEN error IS NOT NULL
                         THEN jsonb_build_object('type', error -> 'type', 'message', CAST(:mark AS text)) END
        WHERE id = :id
    """),
    "events": text(
        "UPDATE task_events SET why = :mark WHERE task_id = :id AND to_state = 'failed' AND why <> ''"
    ),
    "chains": text("UPDATE chains SET text = :mark WHERE task_id = :id"),
    "chain answers": text("""
        UPDATE chains SET answer = CASE WHEN answer IS NOT NULL THEN CAST(:mark AS text) END,
            explanations = CASE WHEN explanations IS NOT NULL THEN (
                SELECT coalesce(jsonb_agg(one || jsonb_build_object('answer', CAST(:mark AS text)) ORDER BY n), '[]')
                FROM jsonb_array_elements(explanations) WITH ORDINALITY AS listed (one, n)) END
        WHERE task_id = :id AND (answer IS NOT NULL OR explanations IS NOT NULL)
    """),
    "evidence": text("UPDATE verdicts SET reason = :mark, evidence = '{}' WHERE task_id = :id"),
    "decisions": text(
        "UPDATE decisions SET answer = :answer, document = CAST(:document AS jsonb) WHERE id = :decision"
    ),
    "clusters": text("UPDATE clusters SET answer = :mark WHERE decision_id = :decision"),
    "labels": text("UPDATE labels SET answers = CAST(:answers AS jsonb) WHERE id = :label"),
}

INSERT_REDACTION = text("""
INSERT INTO redactions (id, tenant, task_id, who, why, details)
VALUES (:id, :tenant, :task_id, :who, :why, CAST(:details AS jsonb))
""")

KEEP_SALTS = text("""
UPDATE seal_salts SET seed = NULL, kept = CASE WHEN number = 0 THEN CAST(:kept AS jsonb) END WHERE task_id = :id
""")
