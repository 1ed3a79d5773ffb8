"""The commands that need no service: JSON lines in, JSON lines out, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from verifiers.code.verifier import CodeVerifier


def run(*arguments: object, lines: list[object] | None = None) -> tuple[int, list[dict[str, Any]], str]:
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines or [])
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=content)
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def chains(*answers: str | None) -> list[dict[str, object]]:
    return [{"text": f"chain {i}", "answer": answer} for i, answer in enumerate(answers)]


def test_merge_decides_every_line_in_order() -> None:
    code, decisions, _ = run(
        "merge",
        "-",
        lines=[
            {"custom_id": "a", "kind": "math", "mode": "merge", "chains": chains("1/2", "0.5", "3")},
            {
                "custom_id": "b",
                "kind": "qa",
                "mode": "merge",
                "chains": chains("Paris", " paris.", "Rome", None),
            },
            {
                "custom_id": "c",
                "kind": "diagnosis",
                "mode": "spread",
                "chains": chains("GERD", "Flu", "gerd"),
            },
        ],
    )
    assert code == 0
    assert [d["custom_id"] for d in decisions] == ["a", "b", "c"]
    assert [d["vote_margin"] for d in decisions] == [2 / 3, 2 / 4, 2 / 3]
    assert decisions[0]["answer"] in {"1/2", "0.5"}
    assert decisions[1]["merge_degree"] == pytest.approx(1 / ((2 / 3) ** 2 + (1 / 3) ** 2))
    assert [alternative["answer"] for alternative in decisions[2]["alt_explanations"]] == ["Flu"]


def test_merge_takes_the_answer_from_the_text_where_none_is_given() -> None:
    line = {
        "custom_id": "a",
        "kind": "math",
        "chains": [{"text": r"so \boxed{7}", "logprob": -1.0, "n_tokens": 4}, {"text": "The answer is 7."}],
    }
    code, (decision,), _ = run("merge", "-", lines=[line])
    assert (code, decision["answer"], decision["vote_margin"], decision["weights"]) == (0, "7", 1.0, "votes")


def test_a_label_does_not_change_a_decision() -> None:
    line = {"custom_id": "a", "kind": "math", "mode": "merge", "chains": chains("1", "2", "2")}
    _, (without,), _ = run("merge", "-", lines=[line])
    _, (with_label,), _ = run("merge", "-", lines=[{**line, "label": "1"}])
    assert without == with_label


def test_a_bad_line_gets_an_error_in_its_place_and_the_others_run() -> None:
    good = {"custom_id": "a", "kind": "math", "mode": "merge", "chains": chains("1")}
    code, lines, told = run(
        "merge", "-", lines=[good, "not json", {**good, "chains": []}, {**good, "k": 3}, good]
    )
    assert code == 1
    assert ["error" in line and line["error"] is not None for line in lines] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert lines[3]["error"]["field"] == "k"
    assert "-:2" in told


def test_verify_math_judges_every_claim_in_order() -> None:
    pairs = [("1/2", "0.5"), ("3", "4"), ("x+1", "1+x"), ("((((", "5")]
    code, verdicts, _ = run(
        "verify", "math", "-", lines=[{"id": i, "gold": g, "answer": a} for i, (g, a) in enumerate(pairs)]
    )
    assert code == 0
    assert [v["id"] for v in verdicts] == [0, 1, 2, 3]
    assert [v["outcome"] for v in verdicts] == ["confirmed", "refuted", "confirmed", "abstained"]
    assert all({"reason", "elapsed_s", "evidence"} <= set(v) for v in verdicts)


@pytest.mark.sandbox
def test_verify_code_judges_every_claim_in_order() -> None:
    if not CodeVerifier.availability().ok:
        pytest.skip(CodeVerifier.availability().reason)
    right = {"id": "r", "program": "def f(x):\n    return x + 1\n", "tests": "assert f(1) == 2"}
    wrong = {**right, "id": "w", "program": "def f(x):\n    return x\n"}
    code, verdicts, _ = run("verify", "code", "-", lines=[right, wrong])
    assert code == 0
    assert [(v["id"], v["outcome"]) for v in verdicts] == [("r", "confirmed"), ("w", "refuted")]


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    code, lines, told = run("merge", tmp_path / "nothing.jsonl")
    assert (code, lines) == (2, [])
    assert "cannot read" in told


def test_every_command_explains_itself() -> None:
    commands = ["demo", "up", "down", "submit", "status", "results", "cancel", "merge", "worker", "migrate"]
    groups = ["verify math", "verify code", "audit show", "models list", "models pull", "models check"]
    for command in [*commands, *groups]:
        done = CliRunner().invoke(app, [*command.split(), "--help"])
        assert done.exit_code == 0, command
        assert "Example" in done.stdout, command
