"""What must be true of the record after everything that happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from worker.store.transactions import Store

LEGAL = {
    "queued": {"generating", "failed", "cancelled"},
    "generating": {"generating", "verifying", "deciding", "failed", "cancelled"},
    "verifying": {"deciding", "failed", "cancelled"},
    "deciding": {"deciding", "answered", "abstained", "failed", "cancelled"},
}
"""From each state to which; a stage that is begun again stays where it is."""

FINAL = {"answered", "abstained", "failed", "cancelled"}

CHECKS = {
    "tasks that are not finished": """
        SELECT id FROM tasks WHERE state NOT IN ('answered','abstained','failed','cancelled')""",
    "finished tasks that somebody still holds": """
        SELECT id FROM tasks WHERE lease_until IS NOT NULL AND state IN ('answered','abstained')""",
    "decided tasks without exactly one current decision": """
        SELECT t.id FROM tasks t LEFT JOIN decisions d ON d.task_id = t.id AND d.is_current
        WHERE t.state IN ('answered','abstained') GROUP BY t.id HAVING count(d.id) <> 1""",
    "tasks with more than one decision": "SELECT task_id FROM decisions GROUP BY task_id HAVING count(*) > 1",
    "decisions of tasks that failed": """
        SELECT t.id FROM tasks t JOIN decisions d ON d.task_id = t.id WHERE t.state = 'failed'""",
    "tasks whose chains come from two claims": """
        SELECT task_id FROM chains GROUP BY task_id HAVING count(DISTINCT attempt) > 1""",
    "tasks whose chains have gaps": """
        SELECT task_id FROM chains GROUP BY task_id HAVING max(index) <> count(*) - 1""",
    "tokens that were not counted once": """
        SELECT t.id FROM tasks t JOIN chains c ON c.task_id = t.id GROUP BY t.id
        HAVING t.tokens_spent <> sum(coalesce(c.n_tokens, 0))""",
    "candidates judged twice by a verifier": """
        SELECT task_id FROM verdicts GROUP BY task_id, candidate, verifier HAVING count(*) > 1""",
    "decided tasks with a verifier's turn left": """
        SELECT t.id FROM tasks t JOIN verifications v ON v.task_id = t.id AND NOT v.done
        WHERE t.state IN ('answered','abstained')""",
    "tasks that failed without being poison": """
        SELECT id FROM tasks WHERE state = 'failed' AND spec ->> 'prompt' NOT LIKE 'poison%'""",
    "poison that was not parked with its reason": """
        SELECT id FROM tasks WHERE spec ->> 'prompt' LIKE 'poison%'
          AND (state <> 'failed' OR error ->> 'type' <> 'DeadLetter'
               OR error ->> 'message' NOT LIKE 'the generate stage was begun%')""",
}

EVENTS = "SELECT task_id, from_state, to_state FROM task_events ORDER BY task_id, id"
STATES = "SELECT id, state FROM tasks"
DECISIONS = """
SELECT t.tenant, t.custom_id, t.state, d.document FROM tasks t JOIN decisions d ON d.task_id = t.id AND d.is_current
WHERE t.tenant LIKE :tenants
"""


def violations(store: Store) -> dict[str, list[str]]:
    """Return what is wrong, each with the tasks it is wrong of; empty when all is well."""
    found = {}
    with store.connect() as connection:
        for name, query in CHECKS.items():
            if rows := connection.execute(text(query)).all():
                found[name] = [str(row[0]) for row in rows]
        states = {row.id: row.state for row in connection.execute(text(STATES))}
        illegal = _illegal(states, connection.execute(text(EVENTS)).all())
    if lost := sorted(set(illegal)):
        found["histories with a gap or an illegal step"] = lost
    return found


def _illegal(states: dict[Any, str], events: Any) -> Iterator[str]:  # noqa: ANN401 (rows)
    at: dict[Any, str] = {}
    for task_id, from_state, to_state in events:
        if from_state != at.get(task_id) or (
            from_state is not None and to_state not in LEGAL.get(from_state, ())
        ):
            yield str(task_id)
        at[task_id] = to_state
    yield from (str(task_id) for task_id, state in states.items() if at.get(task_id) != state)


def decisions(store: Store, tenants: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return (state, decision) by custom_id of the tenants whose names are ``LIKE`` the pattern."""
    with store.connect() as connection:
        rows = connection.execute(text(DECISIONS), {"tenants": tenants}).all()
    return {row.custom_id: (row.state, row.document) for row in rows}
