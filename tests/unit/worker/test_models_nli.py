"""Where NLI models are looked for, and what is said when they aren't there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from verifiers.errors import ModelUnavailableError
from worker.models.nli import DEFAULT_NLI, find_nli, nli_folder, nli_of
from worker.settings import Settings
from worker.submission.lines import TaskLine

LABELS = {"id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}}


def stored(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LABELS))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (DEFAULT_NLI, "make entailment"),
        ("owner/model", "merge-reasoner models pull-nli owner/model"),
        ("nothing", "the path of a folder"),
    ],
)
def test_a_model_that_is_missing_says_how_to_get_it(tmp_path: Path, name: str, way: str) -> None:
    with pytest.raises(ModelUnavailableError, match=way):
        find_nli(name, tmp_path)


def test_models_are_found_by_hub_name_and_by_path(tmp_path: Path) -> None:
    stored(nli_folder("owner/model", tmp_path))
    assert find_nli("owner/model", tmp_path).name == "owner/model"
    mine = stored(tmp_path / "elsewhere" / "mine")
    assert find_nli(str(mine), tmp_path).name == "mine"  # the audit needs no path of this machine's


def test_a_process_has_one_model_of_a_name(tmp_path: Path) -> None:
    assert nli_of("owner/model", tmp_path) is nli_of("owner/model", tmp_path)
    assert nli_of("owner/model", tmp_path) is not nli_of("owner/other", tmp_path)


def test_the_setting_names_the_model() -> None:
    assert Settings.from_env({"HOME": "/h"}).nli_model == DEFAULT_NLI
    assert Settings.from_env({"HOME": "/h", "MERGEREASONER_NLI_MODEL": "o/m"}).nli_model == "o/m"


def line(**fields: object) -> dict[str, object]:
    return {"custom_id": "t", "kind": "qa", "prompt": "?", **fields}


def test_a_hypothesis_must_have_a_place_for_the_answer() -> None:
    spec = {"verifier": "entailment", "premise": "p"}
    assert TaskLine.model_validate(line(verify=[spec])).verify[0].verifier == "entailment"
    TaskLine.model_validate(line(verify=[{**spec, "hypothesis": "It is {answer}."}]))
    with pytest.raises(ValidationError, match=r"\{answer\}"):
        TaskLine.model_validate(line(verify=[{**spec, "hypothesis": "It is so."}]))


@pytest.mark.parametrize("kind", ["math", "code"])
def test_entailment_does_not_compare_programs_or_formulas(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"options\.equivalence entailment is not for kind"):
        TaskLine.model_validate(line(kind=kind, options={"equivalence": "entailment"}))
