"""The commands that need no service: JSON lines in, JSON lines out, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from worker.engines.registry import ENGINES


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


QA = {"custom_id": "a", "kind": "qa", "mode": "merge"}


def test_thresholds_of_the_call_hold_where_the_task_names_none() -> None:
    line = {**QA, "chains": chains("x", "x", "y")}
    own = {**line, "options": {"tau_conf": 0.5}}
    _, decisions, _ = run("merge", "-", "--thresholds", "tau_conf=0.7, lambda=0.9", lines=[line, own])
    assert [d["abstain_reasons"] for d in decisions] == [["confidence", "empty_set"], ["empty_set"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tau=0.5", "the names are lambda, tau_margin, tau_conf, tau_score"),
        ("lambda", "'lambda' is not NAME=SHARE"),
        ("lambda=high", "must be a number"),
        ("lambda=2", "must lie in"),
    ],
)
def test_wrong_thresholds_are_a_usage_error_that_names_them(text: str, complaint: str) -> None:
    code, lines, told = run("merge", "-", "--thresholds", text, lines=[{**QA, "chains": chains("x")}])
    assert (code, lines) == (2, [])
    assert complaint in told


def test_early_exit_is_reported_and_changes_no_decision() -> None:
    agreeing = {**QA, "chains": chains(*["x"] * 8)}
    divided = {**QA, "chains": chains("x", "x", "x", "y", "y", "y", "y", "y")}
    _, without, _ = run("merge", "-", lines=[agreeing, divided])
    code, with_it, _ = run("merge", "-", "--early-exit", "paper", lines=[agreeing, divided])
    exits = [decision.pop("early_exit") for decision in with_it]
    assert (code, with_it) == (0, without)
    assert [(one["chains_used"], one["answer"], one["same_answer"]) for one in exits] == [
        (4, "x", True),
        (4, "x", False),
    ]


def test_the_set_is_compared_with_its_best_member_alone() -> None:
    line = {**QA, "chains": chains("x", "x", "y", "z"), "options": {"lambda": 0.2}}
    _, (decision,), _ = run("merge", "-", lines=[line])
    assert decision["risk"] == pytest.approx(
        {"lambda": 0.2, "set": 3 * 0.2, "singleton": 0.5 + 0.2, "gain": 0.1}  # posteriors .5, .25, .25
    )


def test_several_models_show_who_holds_which_answer() -> None:
    answers = [("x", "a"), ("x", "b"), ("y", "b"), ("x", "b"), (None, "c")]
    line = {**QA, "chains": [{"text": "", "answer": answer, "model": model} for answer, model in answers]}
    _, (decision,), _ = run("merge", "-", lines=[line])
    assert decision["consensus"] == {
        "models": ["a", "b", "c"],
        "gain": pytest.approx(1 / 3),  # a and b say x; c says nothing, and agrees with nobody
        "union": [
            {"cluster_id": 0, "models": {"a": 1.0, "b": pytest.approx(2 / 3)}},
            {"cluster_id": 1, "models": {"b": pytest.approx(1 / 3)}},
        ],
    }
    _, (alone,), _ = run("merge", "-", lines=[{**QA, "chains": chains("x", "y")}])
    assert "consensus" not in alone


@pytest.mark.parametrize("kind", ["math", "code"])
def test_embeddings_are_refused_where_different_answers_read_alike(kind: str) -> None:
    line = {**QA, "kind": kind, "chains": chains("1", "2"), "options": {"equivalence": "embedding"}}
    code, (decision,), told = run("merge", "-", lines=[line])
    assert code == 1
    assert f"not for kind {kind}" in told
    assert decision["error"]["code"] == "invalid_value"


def test_a_task_that_asks_for_embeddings_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    line = {**QA, "chains": chains("one", "another"), "options": {"equivalence": "embedding"}}
    code, _, told = run("merge", "-", lines=[line])
    assert code == 2
    assert "make embedding" in told or "models pull all-minilm-l6-v2" in told


def test_verify_math_judges_every_claim_in_order() -> None:
    pairs = [("1/2", "0.5"), ("3", "4"), ("x+1", "1+x"), ("((((", "5")]
    code, verdicts, _ = run(
        "verify", "math", "-", lines=[{"id": i, "gold": g, "answer": a} for i, (g, a) in enumerate(pairs)]
    )
    assert code == 0
    assert [v["id"] for v in verdicts] == [0, 1, 2, 3]
    assert [v["outcome"] for v in verdicts] == ["confirmed", "refuted", "confirmed", "abstained"]
    assert all({"reason", "elapsed_s", "evidence"} <= set(v) for v in verdicts)


def test_verify_math_takes_conditions_and_texts_too() -> None:
    lines: list[object] = [
        {"id": 1, "answer": "x = 3, y = 4", "conditions": ["x^2 + y^2 = 25", "x < y"]},
        {"id": 2, "answer": "(4, 3)", "conditions": ["x < y"], "unknowns": ["x", "y"]},
        {"id": 3, "text": "So 2 * 3 = 7."},
        {"id": 4, "gold": "{1, 2, 2}", "answer": "{1, 2}", "collection": "multiset"},
        {"id": 5, "gold": "1", "text": "1 + 1 = 2"},
        {"id": 6, "answer": "1"},
    ]
    code, verdicts, told = run("verify", "math", "-", lines=lines)
    assert code == 1
    assert [v.get("outcome") for v in verdicts[:4]] == ["confirmed", "refuted", "refuted", "refuted"]
    assert told.count("is no claim") == 2


def test_a_step_check_is_part_of_a_merged_decision() -> None:
    line = {
        "custom_id": "a", "kind": "math", "verify": [{"verifier": "math", "steps": True}],
        "chains": [{"text": "3 * 4 = 13. The answer is 13."}, {"text": "3 * 4 = 12. The answer is 12."}] * 2,
    }  # fmt: skip
    code, (decision,), _ = run("merge", "-", lines=[line])
    assert code == 0
    assert decision["answer"] == "12"
    assert decision["verdicts"] == {"math": {"confirmed": 1, "refuted": 1}}


@pytest.mark.sandbox
def test_verify_code_judges_every_claim_in_order(needs_sandbox: None) -> None:
    right = {"id": "r", "program": "def f(x):\n    return x + 1\n", "tests": "assert f(1) == 2"}
    wrong = {**right, "id": "w", "program": "def f(x):\n    return x\n"}
    code, verdicts, _ = run("verify", "code", "-", lines=[right, wrong])
    assert code == 0
    assert [(v["id"], v["outcome"]) for v in verdicts] == [("r", "confirmed"), ("w", "refuted")]


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    code, lines, told = run("merge", tmp_path / "nothing.jsonl")
    assert (code, lines) == (2, [])
    assert "cannot read" in told


@pytest.mark.parametrize("command", ["calibrate show", "status", "db prunings"])
def test_a_list_of_less_than_one_is_a_usage_error(command: str) -> None:
    code, lines, told = run(*command.split(), "-n", -1)
    assert (code, lines) == (2, [])
    assert "Invalid value for" in told


def test_up_names_every_engine() -> None:
    told = CliRunner().invoke(app, ["up", "--help"]).stdout
    assert [name for name in ENGINES if name not in told] == []


@pytest.mark.parametrize("engine", ["replay", "openai"])
def test_pulling_what_an_engine_without_weights_loads_does_nothing(engine: str, tmp_path: Path) -> None:
    environment = {"MERGEREASONER_ENGINE": engine, "MERGEREASONER_STATE_DIR": str(tmp_path / "state")}
    done = CliRunner().invoke(app, ["models", "pull"], env=environment)
    assert (done.exit_code, done.stdout) == (0, f"the engine {engine} loads no file of ours\n")
    assert not (tmp_path / "state").exists()


def test_pulling_what_the_settings_name_leaves_alone_what_is_here(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    environment = {"MERGEREASONER_MODEL": str(file), "MERGEREASONER_STATE_DIR": str(tmp_path / "state")}
    done = CliRunner().invoke(app, ["models", "pull", "--json"], env=environment)
    assert (done.exit_code, json.loads(done.stdout)["path"]) == (0, str(file))


def test_every_command_explains_itself() -> None:
    commands = ["demo", "up", "down", "submit", "status", "results", "cancel", "merge", "worker", "migrate"]
    groups = [
        "verify math",
        "verify code",
        "audit show",
        "models list",
        "models pull",
        "models check",
        "models bench",
    ]
    groups.append("pool report")
    for command in [*commands, *groups]:
        done = CliRunner().invoke(app, [*command.split(), "--help"])
        assert done.exit_code == 0, command
        assert "Example" in done.stdout, command
