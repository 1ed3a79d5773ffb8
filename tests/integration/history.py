"""A past for tests: finished tasks of some month with everything that a task leaves on record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from worker.months import Month, id_at

FIRST = UUID("00000000-0000-7000-8000-000000000001")

TASKS = """
WITH batch AS (
    INSERT INTO batches (id, tenant, idempotency_key) VALUES (:batch, :tenant, CAST(:batch AS text)) RETURNING id
), made AS (
    INSERT INTO tasks (id, batch_id, tenant, custom_id, kind, mode, domain, spec, state, created_at, finished_at)
    SELECT t.id, batch.id, :tenant, CAST(t.id AS text), 'math', 'merge', 'math',
           '{"custom_id": "x", "kind": "math", "prompt": "What is 1 + 1?"}', :state, :at,
           CASE WHEN :state IN ('answered', 'abstained', 'failed', 'cancelled') THEN CAST(:at AS timestamptz) END
    FROM batch, unnest(CAST(:ids AS uuid[])) AS t (id) RETURNING id
), events AS (
    INSERT INTO task_events (task_id, to_state, who) SELECT id, 'queued', 'test' FROM made
), verdicts AS (
    INSERT INTO verdicts (task_id, tenant, candidate, verifier, version, outcome, reason, claim, evidence, limits,
                          elapsed_s, attempt)
    SELECT id, :tenant, 'answer:0', 'math', '1', 'confirmed', 'equal', '{}', '{}', '{}', 0.1, 1 FROM made
)
INSERT INTO chains (task_id, index, tenant, text, answer, logprob, n_tokens, finish_reason, model, revision,
                    prompt_variant, engine, attempt)
SELECT id, i, :tenant, 'chain ' || i, '2', -1.5, 3, 'stop', 'm', 'r', 'plain', 'replay', 1
FROM made, generate_series(0, 1) i
"""

DECISIONS = """
WITH decided AS (
    INSERT INTO decisions (id, task_id, tenant, answer, abstain_flag, abstain_reasons, confidence, vote_margin,
                           merge_degree, set_size, best_cluster, document, calibration_id, configuration, code_version,
                           attempt, created_at)
    SELECT id, id, :tenant, '2', false, '[]', 0.1 + 0.2, 1, 'Infinity', 1, 0,
           '{"answer": "2", "x": 0.1, "abstain_reasons": [], "clusters": [
             {"id": 0, "answer": "2", "members": [0, 1], "size": 2, "score": -0.5, "posterior": 1.0, "outcome": null,
              "confirmed_by": [], "refuted": false, "disputed": false, "in_set": true}]}', :calibration, 'c', '1', 1, :at
    FROM unnest(CAST(:ids AS uuid[])) AS t (id) RETURNING id
)
INSERT INTO clusters (decision_id, number, members, answer, score, posterior, in_set)
SELECT id, 0, '{0,1}', '2', -0.5, 1, true FROM decided
"""

SEALS = """
WITH next AS (
    INSERT INTO seals (number, header, hash, root, n_entries, until_at, who)
    SELECT coalesce(max(number), 0) + 1, '', '', '', :n, :at, 'test' FROM seals RETURNING number
)
INSERT INTO seal_entries (seal_number, position, kind, subject_id, about_id, at, names, leaves, marks)
SELECT next.number, t.place, 'decision', t.id, t.id, :at, '{}', '', ''
FROM next, unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS t (id, place)
"""

LABELS = """
INSERT INTO labels (id, task_id, tenant, answers, source, at, recorded_at)
SELECT id, id, :tenant, '["2"]', 'test', :at, :at FROM unnest(CAST(:ids AS uuid[])) AS t (id)
"""


def fill(
    rig: Any,
    month: Month,
    n: int,
    *,
    tenant: str = "default",
    state: str = "answered",
    sealed: bool = True,
    labelled: bool = False,
    first: int = 0,
) -> list[UUID]:
    """Put tasks of a month on record: two chains, a verdict and an event each, and a decision of the same id."""
    ids = [uuid7_at(month, first + i) for i in range(n)]
    at = month.starts_at + timedelta(days=1)
    values = {"ids": ids, "tenant": tenant, "at": at}
    batch = UUID(int=ids[0].int ^ 1 << 60)
    rig.query(TASKS.replace('": "', '"\\: "'), **values, state=state, batch=batch)
    if state in {"answered", "abstained"}:
        rig.query(DECISIONS.replace('": ', '"\\: '), **values, calibration=FIRST)
        if sealed:
            rig.query(SEALS, ids=ids, at=at, n=n)
    if labelled:
        rig.query(LABELS, **values)
    return ids


def uuid7_at(month: Month, minute: int) -> UUID:
    """Return the id of a task that was submitted so many minutes into a month."""
    return UUID(int=id_at(month.starts_at + timedelta(minutes=minute)).int | 7 << 76 | 2 << 62 | minute)


def places(rig: Any, parent: str = "chains") -> dict[str, int]:
    """Return how many rows of a table each of its partitions holds."""
    return dict(
        rig.query(f"SELECT CAST(CAST(tableoid AS regclass) AS text), count(*) FROM {parent} GROUP BY 1")
    )
