"""What runs every second, or for every message, stays cheap however many tasks are on record."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import TextClause, text

from db import dead, leases, limits, outbox
from db.models import FINAL_STATES
from worker.messages import GENERATE

pytestmark = pytest.mark.services

N_FINISHED = 60_000
N_BACKLOG = 20_000
N_UNDER_WAY = 300

FILL = f"""
INSERT INTO batches (id, idempotency_key) SELECT gen_random_uuid(), 'batch ' || i FROM generate_series(1, 20) i;
INSERT INTO tasks (id, batch_id, tenant, custom_id, kind, mode, domain, spec, route, model, priority, state,
                   published_at, finished_at, error)
SELECT gen_random_uuid(), (SELECT id FROM batches ORDER BY id LIMIT 1 OFFSET i % 20), 'tenant ' || i % 5, i,
       'math', 'merge', 'math', '{{"custom_id": "x", "kind": "math", "prompt": "p"}}', 'generate', 'default', i % 10,
       CASE WHEN i <= {N_BACKLOG} THEN 'queued'
            WHEN i <= {N_BACKLOG + N_UNDER_WAY} THEN (ARRAY['generating', 'verifying', 'deciding'])[1 + i % 3]
            WHEN i % 1000 = 0 THEN 'failed' ELSE 'answered' END,
       CASE WHEN i > {N_BACKLOG} THEN now() END, CASE WHEN i > {N_BACKLOG + N_UNDER_WAY} THEN now() END,
       CASE WHEN i % 1000 = 0 THEN '{{"type": "DeadLetter", "message": "m"}}'::jsonb END
FROM generate_series(1, {N_BACKLOG + N_UNDER_WAY + N_FINISHED}) i;
INSERT INTO verifications (task_id, verifier, done)
SELECT id, 'math', state <> 'verifying' FROM tasks WHERE finished_at IS NOT NULL OR state = 'verifying';
INSERT INTO task_events (task_id, to_state, who) SELECT id, 'queued', 'test' FROM tasks;
"""

IDS = [uuid4() for _ in range(8)]
CLAIM = {"ids": IDS, "holder": "h", "lease_s": 10, "max_deliveries": 3}
DUE = {"n": 100, "lost_after_s": 600, "max_deliveries": 3}
MOVE = {
    "ids": IDS,
    "attempts": [1] * 8,
    "to_states": ["deciding"] * 8,
    "reasons": [""] * 8,
    "errors": [None] * 8,
    "from_state": "generating",
    "final_states": list(FINAL_STATES),
    "who": "w",
}
HOT: dict[str, tuple[TextClause, dict[str, Any], set[str]]] = {
    "claim": (
        leases.CLAIM_TASKS,
        CLAIM | {"queue": GENERATE, "from_states": ["queued", "generating"], "to_state": "generating"},
        {"pk_tasks"},
    ),
    "claim a verifier's turn": (
        leases.CLAIM_VERIFICATIONS,
        CLAIM | {"queue": "verify.math", "verifier": "math"},
        {"pk_tasks"},
    ),
    "move": (leases.MOVE_TASKS, MOVE, {"pk_tasks"}),
    "decide when verified": (leases.DECIDE_WHEN_VERIFIED, {"ids": IDS, "who": "w"}, {"pk_tasks"}),
    "heads of the backlog": (
        outbox.BACKLOG_HEADS,
        {"route": GENERATE, "ageing_s": 300, "n": 50},
        {"ix_tasks_backlog"},
    ),
    "publish": (outbox.PUBLISH_FROM_BACKLOG, {"ids": IDS, "urgencies": [9] * 8}, {"pk_tasks"}),
    "out": (outbox.OUT, {"route": GENERATE}, {"ix_tasks_under_way"}),
    "begun": (outbox.BEGUN, {"route": GENERATE}, {"ix_tasks_under_way"}),
    "due": (
        outbox.TASKS_DUE,
        DUE | {"states": ["queued", "generating"], "routes": [GENERATE]},
        {"ix_tasks_under_way"},
    ),
    "decisions due": (
        outbox.TASKS_DUE,
        DUE | {"states": ["deciding"], "routes": [GENERATE]},
        {"ix_tasks_under_way"},
    ),
    "turns due": (outbox.VERIFICATIONS_DUE, DUE | {"verifier": "math"}, {"ix_verifications_waiting"}),
    "park": (outbox.PARK_TASKS, {"max_deliveries": 3, "who": "w"}, {"ix_tasks_under_way"}),
    "park a turn": (
        outbox.PARK_VERIFICATIONS,
        {"max_deliveries": 3, "who": "w"},
        {"ix_verifications_waiting"},
    ),
    "ripen": (outbox.RIPEN, {}, {"ix_tasks_not_before"}),
    "expire": (
        limits.EXPIRE_TASKS,
        {"final_states": list(FINAL_STATES), "n": 100, "who": "w"},
        set(),  # few batches have a deadline ahead; what counts is that no table of tasks is read for it
    ),
    "dead letters": (dead.DEAD_TASKS, {"tenant": "tenant 1", "n": 50}, {"ix_tasks_failed"}),
}


def test_hot_statements_use_their_indexes(rig: Any) -> None:
    for part in FILL.split(";\n"):
        if part.strip():
            rig.query(part.replace(":", r"\:").replace(r"\:\:", "::"))
    rig.query("ANALYZE")
    bad = {}
    for name, (statement, values, indexes) in HOT.items():
        with rig.store.connect() as connection:
            plan = connection.execute(text("EXPLAIN (FORMAT JSON) " + statement.text), values).scalar_one()
        words = json.dumps(plan)
        scanned = [node for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
        big = {node["Relation Name"] for node in scanned} & {"tasks", "verifications", "task_events_default"}
        if big or not all(index in words for index in indexes):
            bad[name] = (sorted(big), sorted(indexes))
    assert bad == {}


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]
