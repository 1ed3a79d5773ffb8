"""`pool report`: what several models' records say, and the weights that `merge` takes up."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app

ACCURACY = {"good": 0.8, "fair": 0.6, "poor": 0.3}


def run(*arguments: object, lines: list[Any]) -> tuple[int, str, str]:
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=content)
    return done.exit_code, done.stdout, done.stderr


def task(number: int, answers: Mapping[str, str | None], label: object = None) -> dict[str, Any]:
    chains = [{"text": "", "answer": answer, "model": model} for model, answer in answers.items()]
    known = {} if label is None else {"label": label}
    return {"custom_id": str(number), "kind": "qa", "chains": chains, **known}


def pool_of(n: int) -> list[dict[str, Any]]:
    """Tasks whose models are right as often as their names say, on their own."""
    rng = random.Random(1)
    return [
        task(
            i,
            {m: "right" if rng.random() < p else f"wrong {rng.randrange(3)}" for m, p in ACCURACY.items()},
            "right",
        )
        for i in range(n)
    ]


def test_the_report_says_who_is_right_and_what_merging_is_worth() -> None:
    code, printed, _ = run("pool", "report", "-", "--json", lines=pool_of(200))
    report = json.loads(printed)
    assert code == 0
    assert [one["model"] for one in report["models"]] == ["fair", "good", "poor"]
    accuracy = {one["model"]: one["accuracy"] for one in report["models"]}
    assert accuracy["good"] > accuracy["fair"] > accuracy["poor"]
    assert report["subsets"][0]["accuracy"] >= accuracy["good"]
    assert [level["models_agreeing"] for level in report["levels"]] == [1, 2, 3]
    assert report["domains"]["qa"]["n_chains"] == 3
    assert report["model_weights"]["good"] > report["model_weights"]["poor"]


def test_answers_are_compared_by_the_kind_s_equivalence_and_so_is_the_label() -> None:
    answers = {"a": "1/2", "b": "0.5", "c": r"\frac{2}{4}", "d": "2"}
    line = {**task(0, answers, 0.5), "kind": "math"}
    _, printed, _ = run("pool", "report", "-", "--json", lines=[line])
    report = json.loads(printed)
    assert [one["right"] for one in report["models"]] == [1, 1, 1, 0]
    assert report["agreement"][0] == [1.0, 1.0, 1.0, 0.0]


def test_any_of_several_labels_counts_as_right() -> None:
    line = task(0, {"a": "flu", "b": "Influenza", "c": "cold"}, ["influenza", "flu"])
    _, printed, _ = run("pool", "report", "-", "--json", lines=[line])
    assert [one["right"] for one in json.loads(printed)["models"]] == [1, 1, 0]


def test_it_says_where_merging_does_not_help() -> None:
    lines = [task(i, {"a": "x", "b": "y"}, "x" if i < 4 else "z") for i in range(10)]
    code, printed, _ = run("pool", "report", "-", lines=lines)
    assert code == 0
    assert "merging does not help here" in printed


def test_without_labels_it_tells_who_agrees_and_learns_nothing(tmp_path: Path) -> None:
    lines = [task(i, {"a": "x", "b": "x"}) for i in range(3)]
    code, printed, _ = run("pool", "report", "-", lines=lines)
    assert code == 0
    assert "nothing to say of errors" in printed
    code, _, told = run("pool", "report", "-", "-o", tmp_path / "w.json", lines=lines)
    assert code == 2
    assert "give lines a label" in told


def test_a_bad_line_is_told_and_the_others_count() -> None:
    code_task = {**task(1, {"a": "x"}, "x"), "kind": "code"}
    code, printed, told = run(
        "pool", "report", "-", "--json", lines=[task(0, {"a": "x"}, "x"), "{", code_task, {"custom_id": "c"}]
    )
    assert code == 1
    assert json.loads(printed)["n_tasks"] == 1
    assert ["-:2" in told, "-:3" in told, "-:4" in told] == [True] * 3


def test_a_file_without_tasks_is_a_usage_error() -> None:
    code, printed, told = run("pool", "report", "-", lines=[])
    assert (code, printed) == (2, "")
    assert "no task that can be used" in told


def test_merge_takes_up_what_the_report_learned(tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    run("pool", "report", "-", "-o", weights, lines=pool_of(200))
    line = {
        "custom_id": "t",
        "kind": "qa",
        "chains": [{"text": "", "answer": a, "model": m} for m, a in (("poor", "x"), ("good", "y"))],
    }
    _, plain, _ = run("merge", "-", lines=[line])
    code, fitted, _ = run("merge", "-", "--weights", weights, lines=[line])
    assert code == 0
    assert json.loads(plain)["answer"] == "x"  # a tie goes to the first chain
    decision = json.loads(fitted)
    assert (decision["answer"], decision["weights"]) == ("y", "fitted")
    assert decision["unanswered"] > 0.0  # the chance that neither is right


def test_model_weights_can_be_chosen_in_place_of_the_fit(tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"use": "model_weights", "model_weights": {"a": 3.0}}))
    line = task(0, {"a": "x", "b": "y"})
    code, printed, _ = run("merge", "-", "--weights", weights, "--early-exit", "lossless", lines=[line])
    decision = json.loads(printed)
    assert code == 0
    assert [cluster["posterior"] for cluster in decision["clusters"]] == pytest.approx([0.75, 0.25])


def test_early_exit_beside_a_fit_is_refused_with_the_way_out(tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    run("pool", "report", "-", "-o", weights, lines=pool_of(50))
    code, printed, told = run(
        "merge", "-", "--weights", weights, "--early-exit", "paper", lines=[task(0, {"a": "x"})]
    )
    assert (code, printed) == (2, "")
    assert '"use": "model_weights"' in told
