"""A made ledger is one that the product could have written: what it says can be computed again from its own rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks.ledger.generate import Plan, generate
from benchmarks.ledger.templates import THRESHOLDS
from reasoner.decisions import Thresholds
from worker.deciding import configuration_of, decide_task
from worker.grading import grade_due
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.settings import Settings
from worker.store.chains import load_chains
from worker.store.transactions import Store
from worker.store.verdicts import load_verdicts
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.services

N = 2000
PLAN = Plan(
    n=N, labelled=0.2, chains=2.0, whole=1.0, events=9, unfinished=50, seed=3, until_ms=1_790_000_000_000
)
GRADED = (
    "task_id, known_at, until_at, g.tenant, g.domain, decision_id, label_id, decided_at, grade, correct, answerable, "
    "confidence, vote_margin, truth, masses, right_chains, wrong_chains, models, weighted, n_decisions, n_labels"
)
TABLES = ("tasks", "chains", "verdicts", "clusters", "decisions", "labels", "gradings", "task_events")


def rows(store: Store, statement: str) -> list[Any]:
    with store.connect() as connection:
        return list(connection.execute(text(statement)).all())


@pytest.fixture
def ledger(settings: Settings, store: Store) -> Store:
    assert settings.database_url is not None
    generate(settings.database_url, PLAN)
    return store


def test_a_made_ledger_holds_what_the_product_would_have_written(ledger: Store, settings: Settings) -> None:
    decided = rows(
        ledger,
        "SELECT d.*, t.spec, t.state, t.domain FROM decisions d JOIN tasks t ON t.id = d.task_id ORDER BY d.id",
    )
    assert len(decided) == N
    chains = load_chains(ledger, [row.task_id for row in decided])
    verdicts = load_verdicts(ledger, [row.task_id for row in decided])
    for row in decided:
        line = TaskLine.model_validate(row.spec)
        thresholds = THRESHOLDS if line.mode == "merge" else Thresholds()
        sampled = [chain.as_chain() for chain in chains[row.task_id]]
        again = decide_task(line, sampled, verdicts[row.task_id], calibrated=thresholds)
        document = {name: value for name, value in row.document.items() if name != "models"}
        assert again.to_json() == document
        assert again.answer == row.answer
        assert configuration_of(line, thresholds) == row.configuration
        assert row.state == ("abstained" if again.abstain else "answered")

    counts = {name: rows(ledger, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}
    assert counts["clusters"] == sum(len(row.document["clusters"]) for row in decided)
    assert rows(ledger, "SELECT count(*) FROM tasks WHERE state = 'queued'")[0][0] == 50
    assert {row.tenant for row in decided} == {"default", "acme", "small"}
    assert rows(ledger, "SELECT count(DISTINCT domain) FROM tasks WHERE state <> 'queued'")[0][0] == 20
    assert counts["labels"] == counts["gradings"] > 300

    # Ids are in the order of time, and nothing points into the void.
    assert [row.created_at for row in decided] == sorted(row.created_at for row in decided)
    assert not rows(
        ledger, "SELECT FROM chains c WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = c.task_id)"
    )
    assert not rows(
        ledger,
        "SELECT FROM decisions d WHERE NOT EXISTS (SELECT FROM calibrations c WHERE c.id = d.calibration_id)",
    )

    # The indexes that were dropped for the load are back.
    names = {row[0] for row in rows(ledger, "SELECT indexname FROM pg_indexes")}
    assert {"uq_decisions_current", "ix_tasks_under_way", "ix_gradings_window"} <= names

    graded = f"SELECT {GRADED} FROM gradings g JOIN tasks t ON t.id = g.task_id ORDER BY 1"
    made = rows(ledger, graded)
    with ledger.begin() as connection:
        connection.execute(text("DELETE FROM gradings"))
    with Judges(Surroundings(settings=settings)) as judges:
        for tenant in ("default", "acme", "small"):
            assert grade_due(ledger, judges, tenant=tenant).ungradable == 0
    for of_ledger, of_product in zip(made, rows(ledger, graded), strict=True):
        # One label cannot conflict with itself; the ledger says that another did.
        assert of_ledger == of_product or of_ledger.grade == "conflicting"


def test_the_same_seed_makes_the_same_ledger(settings: Settings, store: Store) -> None:
    assert settings.database_url is not None
    few = replace(PLAN, n=120)
    counted = "SELECT md5(string_agg(id::text || document::text, '' ORDER BY id)) FROM decisions"
    generate(settings.database_url, few)
    first = rows(store, counted)
    with pytest.raises(SystemExit, match="holds tasks"):  # a database in use is left alone
        generate(settings.database_url, few)
    with store.begin() as connection:
        connection.execute(text("TRUNCATE tasks, batches, calibrations, calibration_runs CASCADE"))
    generate(settings.database_url, few)
    assert rows(store, counted) == first
