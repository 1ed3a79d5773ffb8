"""What a folder must hold before any of it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from verifiers.entailment.checkpoint import open_checkpoint
from verifiers.errors import ModelUnavailableError

LABELS = {"0": "CONTRADICTION", "1": "neutral", "2": "Entailment"}


def folder(path: Path, *, labels: Any = LABELS, weights: str | None = "model.safetensors") -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"id2label": labels}))
    if weights:
        (path / weights).write_bytes(b"weights")
    return path


def test_the_order_of_the_labels_is_the_checkpoints_own(tmp_path: Path) -> None:
    found = open_checkpoint(folder(tmp_path / "m"))
    assert found.labels == ("contradiction", "neutral", "entailment")
    assert found.name == "m"


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
        {"0": "entailment", "1": "not_entailment"},
        {"0": "entailment", "1": "entailment", "2": "contradiction"},
        ["entailment"],
        None,
    ],
)
def test_labels_that_do_not_say_what_they_mean_are_refused(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(ModelUnavailableError, match="id2label"):
        open_checkpoint(folder(tmp_path / "m", labels=labels))


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="pickle"):
        open_checkpoint(folder(tmp_path / "m", weights="pytorch_model.bin"))


def test_missing_weights_and_missing_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="weights are missing"):
        open_checkpoint(folder(tmp_path / "m", weights=None))
    with pytest.raises(ModelUnavailableError, match=r"config\.json is missing"):
        open_checkpoint(tmp_path / "nothing")


def test_the_revision_is_that_of_the_contents(tmp_path: Path) -> None:
    one, same = (open_checkpoint(folder(tmp_path / name)).revision for name in ("a", "b"))
    assert one == same
    (tmp_path / "b" / "model.safetensors").write_bytes(b"others")
    assert open_checkpoint(tmp_path / "b").revision != one


def test_thresholds_of_other_weights_do_not_count(tmp_path: Path) -> None:
    path = folder(tmp_path / "m")
    (path / "nli_calibration.json").write_text(
        json.dumps({"confirm": 0.5, "target_precision": 0.9, "revision": "x"})
    )
    assert open_checkpoint(path).calibration.label == "uncalibrated"
