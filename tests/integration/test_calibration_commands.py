"""The commands from labels to thresholds and back, as an operator types them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.integration.bench import Outbox, send
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given

pytestmark = pytest.mark.services

Result = Any
Run = Callable[..., Result]


@pytest.fixture
def run(desk: Desk, tmp_path: Path) -> Run:
    assert desk.settings.database_url is not None
    environment = {
        "DATABASE_URL": desk.settings.database_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "200",
    }
    return lambda *arguments, **values: CliRunner().invoke(
        app, [str(one) for one in arguments], env=environment, **values
    )


@pytest.fixture
def batch(desk: Desk, outbox: Outbox) -> str:
    rng = random.Random(0)
    lines = [
        {"custom_id": f"t{i}", "kind": "qa", "candidates": ["yes"] * n + ["no"] * (8 - n), "domain": "d"}
        for i, n in enumerate(rng.choice([5, 6, 7]) for _ in range(160))
    ]
    made = send(desk, *lines)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    decide(desk, outbox.take(DECIDE))
    return str(made.batch_id)


def labels(tmp_path: Path, batch: str) -> Path:
    rng, path = random.Random(1), tmp_path / "labels.jsonl"
    rows = [
        {"batch_id": batch, "custom_id": f"t{i}", "answer": "yes" if rng.random() < 0.9 else "no"}
        for i in range(160)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_labels_thresholds_figures_and_back(run: Run, batch: str, tmp_path: Path) -> None:
    assert "no decision has a label yet" in run("calibrate", "run", "--dry-run").stdout
    assert answer(run("label", labels(tmp_path, batch), "--json"))["n_kept"] == 160
    asked = ("--alpha", "0.8", "--target-risk", "0.2")
    tried = answer(run("calibrate", "run", "--dry-run", "--json", *asked))
    assert [one["status"] for one in tried["calibrations"]] == ["would pass", "would pass"]
    assert (
        answer(run("calibrate", "run", "--domain", "d", "--hold", "--json", *asked))["counts"]["domains"] == 1
    )
    made = answer(run("calibrate", "run", "--json", *asked))
    by_domain = {one["domain"]: one for one in made["calibrations"]}
    assert {one["status"] for one in by_domain.values()} == {"active"}
    again = answer(run("calibrate", "run", "--as-of", made["as_of"], "--json"))
    assert [one["as_recorded"] for one in again["calibrations"]] == [True, True]
    assert again["plan"]["alpha"] == 0.8
    assert (again["verifiers"], again["verifiers_as_recorded"], again["not_calibrated"]) == ([], True, {})
    told = run("calibrate", "run", "--as-of", made["as_of"]).stdout
    assert "d: as it stands on record" in told
    assert "verifiers: as it stands on record" in told

    shown = run("calibrate", "show", by_domain["d"]["id"])
    assert shown.exit_code == 0
    assert "conformal lambda" in shown.stdout
    assert len(run("calibrate", "show", "--all", "--domain", "d", "--json").stdout.splitlines()) == 2

    figures = tmp_path / "figures"
    assert run("calibrate", "plot", "-o", figures, "--format", "svg").exit_code == 0
    assert len(list(figures.glob("*.svg"))) == 12
    page = tmp_path / "page" / "night.html"
    assert run("calibrate", "report", "-o", page).exit_code == 0
    assert by_domain["d"]["id"] in page.read_text()
    listed = run("calibrate", "show", "--all", "--json").stdout.splitlines()
    of_run = {json.loads(line)["id"]: json.loads(line)["run_id"] for line in listed}[by_domain["d"]["id"]]
    assert run("calibrate", "report", "-o", page, "--run", of_run).exit_code == 0

    assert answer(run("calibrate", "rollback", "--domain", "d", "--json"))["calibration_id"] is None
    assert run("calibrate", "rollback", "--domain", "d").exit_code == 2
    assert run("calibrate", "activate", by_domain["d"]["id"]).exit_code == 0


def test_a_night_tells_what_it_counts_as_wrong_and_what_speaks_against_what_is_in_force(
    run: Run, batch: str, tmp_path: Path
) -> None:
    asked = ("--alpha", "0.8", "--target-risk", "0.2")
    assert run("label", labels(tmp_path, batch)).exit_code == 0
    assert run("calibrate", "run", *asked).exit_code == 0
    at = {"batch_id": batch, "at": datetime.now(UTC).isoformat()}
    later = [{**at, "custom_id": f"t{i}", "answer": "no"} for i in range(100, 160)]
    later += [{**later[0], "answer": "yes", "source": "another"}]
    assert run("label", "-", input="\n".join(map(json.dumps, later))).exit_code == 1  # one conflicts
    told = run("calibrate", "run", *asked).stdout
    assert "d, neither right nor wrong by their labels, counted as wrong: 1 conflicting" in told
    assert "d, against what was in force: on the held-out part" in told
    rows = map(json.loads, run("calibrate", "show", "--all", "--domain", "d", "--json").stdout.splitlines())
    rejected = next(row["id"] for row in rows if row["status"] == "rejected")
    shown = run("calibrate", "show", rejected).stdout
    assert "counted as wrong: 1 conflicting" in shown
    assert "against what was in force: on the held-out part" in shown
    page = tmp_path / "night.html"
    assert run("calibrate", "report", "-o", page).exit_code == 0
    assert "1 conflicting" in page.read_text()


def test_a_label_from_standard_input_names_the_last_batch(run: Run, batch: str, tmp_path: Path) -> None:
    line = json.dumps({"custom_id": "t0", "correct": True, "source": "review"})
    assert answer(run("label", "-", "--batch", "last", "--json", input=line))["new"] == 1
    errors = tmp_path / "errors.jsonl"
    found = run("label", "-", "--errors", errors, input='{"custom_id": "t0", "correct": true}')
    assert found.exit_code == 1
    assert "--batch" in found.output
    assert json.loads(errors.read_text())["code"] == "missing_field"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--as-of", "yesterday"),
        ("run", "--as-of", "2999-01-01"),
        ("run", "--as-of", "0001-01-01T00:00+14:00"),
        ("run", "--window-days", "-1"),
        ("run", "--window-days", "1000000000"),
        ("run", "--alpha", "1.5"),
        ("show", "x"),
        ("show", "00000000-0000-7000-8000-00000000abcd"),
        ("plot", "--format", "gif"),
        ("report",),
        ("rollback", "--domain", "unheard of"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_one_line_and_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    found = run("calibrate", *arguments)
    assert found.exit_code == 2, found.output
    assert "error:" in found.output
    assert "Traceback" not in found.output


def test_what_is_no_runs_id_is_told_where_runs_ids_stand(run: Run) -> None:
    told = run("calibrate", "report", "--run", "nope").stderr
    assert "no run's id" in told
    assert "calibrate show --all --json" in told
