"""The facts verifier with a real transformers model, through the command line; what it says is the model's matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.nli import tiny_model

DOGS = {"id": "dogs", "title": "Dogs", "text": "A dog runs in the park. A dog sleeps in the house."}
CATS = {"id": "cats", "text": "A cat sleeps in the garden."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("nli") / "tiny")


def verify(folder: Path, state: Path, *lines: dict[str, Any], documents: list[Path] | None = None) -> Any:
    arguments = ["verify", "facts", "-", "--model", str(folder)]
    for one in documents or []:
        arguments += ["--documents", str(one)]
    content = "\n".join(map(json.dumps, lines))
    done = CliRunner().invoke(
        app, arguments, input=content, env={"MERGEREASONER_STATE_DIR": str(state)}, catch_exceptions=False
    )
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_statements_are_judged_by_the_documents_of_their_line_or_of_the_command(
    folder: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "cats.jsonl"
    shared.write_text(json.dumps(CATS), encoding="utf-8")
    code, verdicts, _ = verify(
        folder,
        tmp_path,
        {"id": 1, "statement": "A dog runs in the park.", "documents": [DOGS]},
        {"id": 2, "statement": "A cat sleeps in the garden."},
        {"id": 3, "statement": "Quarks carry colour."},
        {"id": 4, "statement": ["no text"]},
        documents=[shared],
    )
    assert code == 1  # of the line that is none
    dogs, cats, quarks, bad = verdicts
    assert bad["error"]["field"] == "statement"
    for verdict, document in ((dogs, "dogs"), (cats, "cats")):
        assert verdict["verifier"].startswith("facts/1+tiny@")
        (sentence,) = verdict["evidence"]["sentences"]
        (passage,) = sentence["passages"]
        assert passage["document"] == document
        told = passage["entailment"] + passage["neutral"] + passage["contradiction"]
        assert told == pytest.approx(1, abs=1e-4)
        assert "embedd" in json.dumps(verdict["evidence"]["retrieval"])
    assert (quarks["outcome"], quarks["reason"]) == ("abstained", "nothing found in the documents")


def test_without_the_model_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    code, verdicts, told = verify(
        tmp_path / "nowhere", tmp_path, {"id": 1, "statement": "Dogs bark.", "documents": [DOGS]}
    )
    assert (code, verdicts) == (2, [])
    assert "NLI model" in told or "make entailment" in told


def test_a_bad_document_ends_the_command_before_any_verdict(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "x"}\n', encoding="utf-8")
    code, verdicts, told = verify(folder, tmp_path, {"id": 1, "statement": "Dogs bark."}, documents=[bad])
    assert (code, verdicts) == (2, [])
    assert "bad.jsonl:1: text: is missing" in told
