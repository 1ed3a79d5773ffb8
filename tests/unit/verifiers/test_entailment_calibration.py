"""Temperatures and thresholds: fitted, stored, read, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from verifiers.entailment.calibration import Calibration, read_calibration, write_calibration
from verifiers.entailment.checkpoint import RELATIONS
from verifiers.entailment.fitting import FEWEST, ScoredRow, fit_calibration
from verifiers.errors import ModelUnavailableError
from verifiers.nli import NliScores


def drawn(n: int, *, sharpened: float = 1.0, seed: int = 0) -> list[ScoredRow]:
    """Rows of a model whose probabilities are true, and then ``sharpened``: logits times that."""
    generator = np.random.default_rng(seed)
    rows = []
    for logits in generator.normal(0.0, 2.0, size=(n, 3)):
        true = np.exp(logits) / np.exp(logits).sum()
        said = np.exp(logits * sharpened) / np.exp(logits * sharpened).sum()
        scores = NliScores(entailment=said[0], neutral=said[1], contradiction=said[2])
        rows.append(ScoredRow(scores=scores, label=RELATIONS[generator.choice(3, p=true)]))
    return rows


def fitted(rows: list[ScoredRow], target: float = 0.9) -> Calibration:
    return fit_calibration(rows, revision="r", source="drawn", target=target)


def softened(rows: list[ScoredRow], temperature: float) -> NDArray[np.float64]:
    """Return the rows' probabilities at another temperature, shape (n, 3)."""
    said = np.array([[getattr(row.scores, name) for name in RELATIONS] for row in rows])
    shares = np.maximum(said, 1e-7) ** (1.0 / temperature)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_too_much_or_too_little_certainty(sharpened: float) -> None:
    assert fitted(drawn(4000, sharpened=sharpened)).temperature == pytest.approx(sharpened, rel=0.1)


@pytest.mark.parametrize("target", [0.8, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_verdicts_on_other_rows_are_as_precise_as_was_asked(seed: int, target: float) -> None:
    found, fresh = fitted(drawn(6000, seed=seed), target), drawn(5000, seed=100 + seed)
    shares = softened(fresh, found.temperature)
    labels = np.array([row.label for row in fresh])
    confirmed = labels[shares[:, 0] >= found.confirm] == "entailment"
    refuted = labels[shares[:, 2] >= found.refute] == "contradiction"
    apart = labels[shares[:, 0] <= found.apart] != "entailment"
    for right in (confirmed, refuted, apart):
        assert len(right) > 150
        assert right.mean() > target - 0.02


def test_a_model_that_guesses_never_gives_a_verdict() -> None:
    rows = drawn(1000)
    shuffled = np.random.default_rng(1).permutation([row.label for row in rows])
    found = fitted(
        [ScoredRow(scores=r.scores, label=str(one)) for r, one in zip(rows, shuffled, strict=True)]
    )
    assert found.confirm > 1.0
    assert found.refute > 1.0
    assert found.apart < 0.0


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fitted(drawn(FEWEST - 1))


def test_what_is_stored_is_read_again_for_the_same_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "nli_calibration.json"
    assert read_calibration(path, revision="r") == Calibration()
    made = fitted(drawn(500))
    write_calibration(path, made)
    assert read_calibration(path, revision="r") == made
    assert made.is_fitted
    other = read_calibration(path, revision="other weights")
    assert other == Calibration()
    assert other.label == "uncalibrated"
    assert made.label != fitted(drawn(500, seed=1)).label


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"confirm": "x"}', '{"temperature": 0}', '{"confirm": 0.1, "apart": 0.2}', '{"x": 1}'],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nli_calibration.json"
    path.write_text(text)
    with pytest.raises(ModelUnavailableError, match=path.name):
        read_calibration(path, revision="r")


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "nli_calibration.json"
    write_calibration(path, fitted(drawn(200)))
    assert json.loads(path.read_text())["source"] == "drawn"
