"""Months, pruning, policies, export and import as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.integration.history import fill
from worker.months import month_of
from worker.settings import Settings

pytestmark = pytest.mark.services

MONTH = month_of(datetime.now(UTC))
OLD = MONTH.plus(-14)
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    environment = {
        "DATABASE_URL": settings.database_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "200",
    }
    return lambda *arguments, **more: CliRunner().invoke(
        app, [str(one) for one in arguments], env=environment | more
    )


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_a_record_is_sorted_pruned_told_and_carried(rig: Any, run: Run, tmp_path: Path) -> None:
    gone = fill(rig, OLD, 2)
    fill(rig, MONTH, 1, state="failed")
    assert "see --make" in run("db", "partitions").stdout
    made = run("db", "partitions", "--make")
    assert f"chains      │ {OLD} │" in made.stdout
    assert "see --make" not in made.stdout

    exported = answer(run("audit", "export", "-o", tmp_path / "l.gz", "--until", "12mo", "--json"))
    assert exported["n_tasks"] == 2

    would = answer(run("db", "prune", "--older-than", "12mo", "--dry-run", "--json"))
    assert (would["n_tasks"], would["windows"]) == (2, [{"month": str(OLD), "dropped": True, "goes": 2}])
    assert run("db", "prune").exit_code == 2
    told = run("db", "prune", "--older-than", "12mo")
    assert "2 tasks lost chains and verdicts: 4 chains, 2 verdicts" in told.stdout
    assert "dropped" in told.stdout
    (pruning,) = [json.loads(line) for line in run("db", "prunings", "--json").stdout.splitlines()]
    assert pruning["n_tasks"] == 2
    assert pruning["id"] in run("audit", "show", gone[0]).stdout
    assert answer(run("audit", "show", gone[0], "--json"))["pruned"] == {"evidence": pruning["id"]}

    back = answer(run("audit", "import", tmp_path / "l.gz", "--json"))
    assert (back["n_new"], back["rows"]["chains"]) == (0, 4)
    assert str(gone[0]) in run("audit", "find", "--since", "2020-01-01", "--json").stdout
    other = run("audit", "import", tmp_path / "l.gz", MERGEREASONER_TENANT="other")
    assert other.exit_code == 2
    assert "line 1" in other.stderr


def test_a_policy_is_set_shown_applied_and_forgotten(rig: Any, run: Run) -> None:
    fill(rig, OLD, 1)
    assert "kept for ever" in run("db", "retention").stdout
    assert (
        answer(run("db", "retention", "--evidence", "12mo", "--tasks", "2y", "--json"))["task_months"] == 24
    )
    assert "1 tasks lost chains" in run("db", "prune").stdout
    assert "kept for ever" in run("db", "retention", "--forever").stdout


MEANT = (
    ("db", "prune", "--older-than", "soon"),
    ("db", "prune", "--older-than", "2999-01-01"),
    ("db", "prune", "--older-than", "0001-01-01T00:00+14:00"),
    ("db", "retention", "--evidence", "12"),
    ("db", "retention", "--evidence", "3y", "--tasks", "1y"),
    ("db", "retention", "--evidence", "3y", "--forever"),
    ("db", "retention", "--keep-labelled"),
    ("db", "retention", "--keep-labelled", "--forever"),
    ("db", "partitions", "--make", "--since", "May"),
    ("audit", "export", "-o", "x", "--batch", "mine"),
    ("audit", "import", "/nonexistent"),
    ("db", "restore", "/nonexistent"),
)


def test_what_cannot_be_meant_is_told_in_one_line(run: Run) -> None:
    for arguments in MEANT:
        done = run(*arguments)
        assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1), arguments
