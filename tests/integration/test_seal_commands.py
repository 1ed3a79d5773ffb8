"""The commands of the seals, as an operator types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.integration.sealed import attack, decided, id_of
from worker.stages.desk import Desk

pytestmark = pytest.mark.services

Run = Callable[..., Any]
CHECKER = Path(__file__).parents[2] / "examples" / "check_proof.py"


@pytest.fixture
def run(desk: Desk, tmp_path: Path) -> Run:
    assert desk.settings.database_url is not None
    environment = {
        "DATABASE_URL": desk.settings.database_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "200",
    }
    return lambda *arguments, **values: CliRunner().invoke(
        app, ["audit", *(str(one) for one in arguments)], env=environment, **values
    )


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_from_the_first_seal_to_a_forged_row(desk: Desk, run: Run, tmp_path: Path) -> None:
    assert run("verify").stdout.startswith("nothing is sealed yet; 0 decisions wait")
    assert run("seal", "--print").exit_code == 1
    assert "seal 1 of" in run("seal").stdout  # the first calibration
    assert run("seal").stdout == "nothing to seal\n"
    decided(desk, "a", "b")
    made = lines(run("seal", "--json"))[-1]
    printed = lines(run("seal", "--print", "--json"))[0]
    assert printed == made
    anchored = run("verify", "--anchor", made["hash"], "--json")
    assert (anchored.exit_code, lines(anchored)[-1]["ok"]) == (0, True)
    assert run("verify", "--anchor", "00" * 32).exit_code == 1
    attack(
        desk.store,
        "chains",
        "UPDATE chains SET text = 'x' WHERE index = 1 AND task_id = :id",
        id=id_of(desk.store, "a"),
    )
    told = run("verify")
    assert told.exit_code == 1
    assert f"CHANGED chain 1 (text) of task {id_of(desk.store, 'a')}, seal {made['seal']}" in told.stdout
    finding, tally = lines(run("verify", "--task", "a", "--json"))
    assert (finding["what"], finding["groups"], tally["ok"]) == ("changed", ["text"], False)
    assert run("verify", "--task", "b").exit_code == 0
    assert run("verify", "--since", "2030-01-01").exit_code == 0
    assert run("proof", "a", "-o", tmp_path / "proof.json").exit_code == 2


def test_a_proof_is_written_and_checked(desk: Desk, run: Run, tmp_path: Path) -> None:
    decided(desk, "a")
    sealed = lines(run("seal", "--json"))[-1]
    path = tmp_path / "proof.json"
    written = run("proof", "a", "-o", path, "--without-texts", "--json")
    assert lines(written)[0]["file"] == str(path)
    command = [sys.executable, "-I", str(CHECKER), str(path), sealed["hash"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("true: decision ")
    assert run("proof", "a", "-o", tmp_path / "no" / "such").exit_code == 2


def test_redaction_asks_first_and_says_what_went(desk: Desk, run: Run) -> None:
    decided(desk, "a")
    run("seal")
    assert run("redact", "a", "--why", "asked", input="n\n").exit_code == 1
    assert "Anna" in run("show", "a").stdout
    done = run("redact", "a", "--why", "asked", "--yes", "--json")
    assert lines(done)[0]["texts"] == {"prompt": 1, "chains": 2, "evidence": 1, "answers": 4}
    shown = run("show", "a")
    assert (shown.exit_code, "Anna" in shown.stdout) == (0, False)
    assert lines(run("verify", "--json"))[-1]["counts"] == {"redacted": 6}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("verify", "--anchor", "abc"), "is no hash"),
        (("verify", "--since", "soon"), "is no time"),
        (("verify", "--task", "nobody"), "no task"),
        (("redact", "a", "--why", " "), "must say something"),
        (("redact", "a", "--why", "w", "--part", "all"), "the parts are prompt"),
        (("proof", "nobody", "-o", "x.json"), "no task"),
    ],
)
def test_a_wrong_call_is_told_in_a_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
