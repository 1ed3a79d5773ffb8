"""Replay as an auditor types it: one decision, a batch, a span of time or all, in one process or in several."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.golden_lines import drawn_lines
from tests.integration.bench import Outbox, query, send
from verifiers.math.verifier import MathVerifier
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.store.replays import Selection, decision_pages
from worker.store.transactions import Store

pytestmark = pytest.mark.services

Run = Callable[..., Any]


@pytest.fixture
def run(desk: Desk, tmp_path: Path) -> Run:
    """Return the exit code, the decisions that did not come out the same, and the summary."""
    assert desk.settings.database_url is not None
    environment = {
        "DATABASE_URL": desk.settings.database_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "200",
    }

    def invoke(*arguments: object, tenant: str = "default") -> Any:
        words = ["audit", "replay", *map(str, arguments)]
        return CliRunner().invoke(app, words, env=environment | {"MERGEREASONER_TENANT": tenant})

    return invoke


def told(result: Any) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    *decisions, summary = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, decisions, summary


HALF = {
    "custom_id": "half",
    "kind": "math",
    "candidates": ["1/2", "0.5", "2", "50%"],
    "verify": [{"verifier": "math", "reference": "0.5"}],
}


@pytest.fixture
def batch(desk: Desk, outbox: Outbox) -> str:
    made = send(desk, *drawn_lines(40, seed=5), HALF)
    decide_all(desk, outbox)
    return str(made.batch_id)


def decide_all(desk: Desk, outbox: Outbox) -> None:
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verifier = MathVerifier()
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(verifier).judge)
    verifier.close()
    decide(desk, outbox.take(DECIDE))


def test_what_was_decided_is_decided_again(run: Run, batch: str, store: Store) -> None:
    for words in (
        ["--all"],
        ["--batch", batch],
        ["--batch", "last"],
        ["--since", "1h"],
        ["--until", "2030-01-01"],
    ):
        code, others, summary = told(run(*words, "--processes", 1, "--json"))
        assert (code, others, summary["decisions"], summary["same"]) == (0, [], 41, 41)
    assert "41 the same, 0 different" in run("--all", "--processes", 2).stdout
    code, others, summary = told(run("half", "--json"))
    assert (code, summary["decisions"]) == (0, 1)
    assert told(run("--until", "1h", "--json"))[2]["decisions"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("decisions SET confidence = confidence + 1e-9", "confidence"),
        (
            "decisions SET document = jsonb_set(document, '{clusters,0,members}', '[3]')",
            "document.clusters[0].members",
        ),
        ("decisions SET abstain_reasons = '[\"confidence\"]'", "abstain_reasons"),
        ("decisions SET tenant = 'other'", "tenant"),
        ("decisions SET is_current = false", "is_current"),
        ("decisions SET configuration = 'x'", "configuration"),
        ("decisions SET inputs = 'x'", "inputs"),
        ("decisions SET code_version = '9'", "configuration"),
        ("clusters SET posterior = 0.25 WHERE number = 0", "clusters[0].posterior"),
        ("tasks SET state = 'abstained'", "task.state"),
    ],
)
def test_a_changed_field_is_named_with_its_task(
    run: Run, batch: str, store: Store, change: str, field: str
) -> None:
    of_half = {
        "decisions": "task_id = (SELECT id FROM tasks WHERE custom_id = 'half')",
        "clusters": "decision_id = (SELECT d.id FROM decisions d JOIN tasks t ON t.id = d.task_id "
        "WHERE custom_id = 'half')",
        "tasks": "custom_id = 'half'",
    }[change.split(maxsplit=1)[0]]
    joined = "AND" if "WHERE" in change else "WHERE"
    query(store, f"UPDATE {change} {joined} {of_half} RETURNING 1")
    code, (other,), summary = told(run("--all", "--processes", 1, "--json"))
    assert (code, summary["same"], summary["different"]) == (1, 40, 1)
    assert (other["custom_id"], other["result"]) == ("half", "different")
    assert field in [one["field"] for one in other["differences"]]
    result = run("half")
    assert result.exit_code == 1
    assert f"  {field}: stored" in result.stdout


def test_older_decisions_keep_to_what_they_rested_on(
    run: Run, batch: str, desk: Desk, outbox: Outbox, store: Store
) -> None:
    query(store, "UPDATE decisions SET is_current = false RETURNING 1")
    query(store, "UPDATE tasks SET state = 'deciding', published_at = NULL, finished_at = NULL RETURNING 1")
    query(
        store,
        "INSERT INTO chains SELECT task_id, 90, tenant, text, 'no', NULL, NULL, finish_reason, 'late', revision, seed,"
        " temperature, prompt_variant, engine, latency_s, attempt, now() FROM chains WHERE index = 0 RETURNING 1",
    )
    query(
        store,
        "INSERT INTO verdicts SELECT task_id, candidate, verifier, 'zz', tenant, 'refuted', reason, claim, evidence,"
        " limits, elapsed_s, attempt, now() FROM verdicts WHERE candidate LIKE 'answer:%' RETURNING 1",
    )
    query(store, "UPDATE calibrations SET status = 'retired' RETURNING 1")
    query(
        store,
        "INSERT INTO calibrations (id, method, status, lambda, tau_margin, tau_conf, tau_score)"
        " VALUES (gen_random_uuid(), 'default', 'active', 0.9, 0.9, 0.9, 0.9) RETURNING 1",
    )
    decide(desk, [row.id for row in query(store, "SELECT id FROM tasks")])
    assert query(store, "SELECT count(*), count(*) FILTER (WHERE is_current) FROM decisions") == [(82, 41)]
    assert query(store, "SELECT count(DISTINCT answer) FROM decisions WHERE task_id = "
                 "(SELECT id FROM tasks WHERE custom_id = 'half')") == [(2,)]  # fmt: skip
    code, others, summary = told(run("--all", "--processes", 1, "--json"))
    assert (code, others, summary["same"]) == (0, [], 82)


def test_pruned_chains_are_told_apart_from_differences(run: Run, batch: str, store: Store) -> None:
    query(
        store,
        "DELETE FROM chains WHERE task_id IN (SELECT id FROM tasks WHERE custom_id = 'half') RETURNING 1",
    )
    code, (other,), summary = told(run("--all", "--processes", 2, "--json"))
    assert (code, summary["same"], summary["different"], summary["unreplayable"]) == (0, 40, 0, 1)
    assert "none of its 4 chains" in other["why"]
    assert "unreplayable, 1: none of its 4 chains" in run("half").stdout


def test_a_tenant_replays_its_own_decisions_only(run: Run, batch: str, store: Store) -> None:
    assert told(run("--all", "--json", tenant="other"))[2]["decisions"] == 0
    for words in (["half"], ["--batch", batch]):
        assert run(*words, tenant="other").exit_code == 2
    assert run("nobody").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [[], ["--all", "--since", "1h"], ["half", "--since", "1h"], ["--since", "soon"], ["--batch", "x"]],
)
def test_a_question_without_sense_is_refused(run: Run, batch: str, words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_many_decisions_come_page_by_page(store: Store, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.store.replays.PAGE", 7)
    every = {row.id for row in query(store, "SELECT id FROM decisions")}
    for selection in (Selection(tenant="default"), Selection(tenant="default", batch=_id(store))):
        pages = list(decision_pages(store, selection))
        assert max(map(len, pages)) <= 7
        assert len(pages) == 6
        assert {one for page in pages for one in page} == every


def _id(store: Store) -> Any:
    return query(store, "SELECT id FROM batches")[0].id
