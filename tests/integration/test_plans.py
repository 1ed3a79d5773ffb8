"""What runs every second, for every message or whenever somebody looks stays cheap, however much is on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from benchmarks.queue.filling import Filled, fill
from benchmarks.queue.hot import Hot, hot_statements
from benchmarks.queue.plans import plan_of, plans
from worker.messages import GENERATE_GIVEN
from worker.stages.generate import generate_given
from worker.store.transactions import Store
from worker.turns import GUARANTEED

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
MUCH = Filled(n_finished=60_000, n_under_way=300, n_backlog=20_000, n_batches=100)
WRITTEN = 40
"""Pages that writing one row may cost: a descent of each of its indexes, its events, and the row."""

READ = 4


def limit_of(hot: Hot) -> int:
    """Return how many pages a statement may touch: by the rows that it is about, not by those on record."""
    if hot.name == "heads of the backlog":
        return READ * 50 * 4 * GUARANTEED  # its groups, and what is read of each
    if hot.name == "publish":
        return WRITTEN * len(hot.values["ids"])
    if hot.name == "forget after a flush":
        return WRITTEN * MUCH.n_under_way
    per_batch = MUCH.n // MUCH.n_batches
    return {"message": WRITTEN * 8, "sweep": READ * MUCH.n_under_way, "look": READ * per_batch}[hot.every]


def test_hot_statements_use_their_indexes_and_read_what_is_in_work_only(store: Store) -> None:
    fill(store, MUCH)
    found = list(plans(store, analyze=True, window=100))
    assert {plan.hot.name: (plan.scanned, plan.unused) for plan in found if not plan.is_good} == {}
    dear = {plan.hot.name: plan.pages for plan in found if plan.pages > limit_of(plan.hot)}
    assert dear == {}


def test_a_fresh_backlog_without_statistics_is_published_by_its_keys(store: Store) -> None:
    with store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tasks SET (autovacuum_enabled = false)")
    fill(store, Filled(n_finished=2000, n_under_way=100, n_backlog=20_000), analyze=False)
    (publish,) = (hot for hot in hot_statements(store) if hot.name == "publish")
    assert plan_of(store, publish, analyze=True).pages <= limit_of(publish)


def asked_for_scaling() -> dict[str, str]:
    """Return what KEDA asks, by the Deployment that is scaled."""
    return {
        document["spec"]["scaleTargetRef"]["name"]: trigger["metadata"]["query"]
        for path in sorted((ROOT / "docs" / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document and document["kind"] == "ScaledObject"
        for trigger in document["spec"]["triggers"]
    }


def test_nobody_is_scaled_up_for_turns_of_tasks_that_have_failed(rig: Any) -> None:
    specs = [{"verifier": "math", "reference": "4"}, {"verifier": "code", "tests": "assert f() == 4"}]
    line = {"kind": "math", "chains": [{"text": "4"}], "custom_id": "a", "verify": specs[:1]}
    code = {
        **line,
        "kind": "code",
        "chains": [{"text": "x", "answer": "f = 4"}],
        "custom_id": "b",
        "verify": specs[1:],
    }
    rig.submit(line, code, deadline=datetime.now(UTC) + timedelta(hours=1))
    rig.sweep()
    generate_given(rig.desk, rig.take(GENERATE_GIVEN))

    def counts() -> dict[str, int]:
        asked = asked_for_scaling()
        return {name: rig.query(asked[name])[0][0] for name in ("verify", "verify-code")}

    assert counts() == {"verify": 1, "verify-code": 1}
    rig.age("batches", "deadline_at")
    rig.sweep()
    assert rig.states() == {"failed": 2}
    assert counts() == {"verify": 0, "verify-code": 0}


def test_what_scales_the_cluster_asks_uses_indexes(store: Store) -> None:
    fill(store, Filled(n_finished=20_000, n_under_way=200, n_backlog=5_000))
    asked = asked_for_scaling()
    assert len(asked) >= 3
    for query in asked.values():
        plan: Any = plan_of(store, Hot(name=query, every="look", statement=text(query)), analyze=False)
        assert plan.is_good, query
