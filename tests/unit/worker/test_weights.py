"""The file of model weights: what is written is what is read, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasoner.fitted import FittedMerge
from worker.errors import WeightsError
from worker.weights import read_weights, write_weights

FITTED = FittedMerge(models=("a", "b"), weights={"a": 1.5, "b": -0.25}, pairs={("a", "b"): 0.1}, none=0.3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.json"


def test_what_is_written_is_read_to_the_last_digit(path: Path) -> None:
    write_weights(path, fitted=FITTED, model_weights={"a": 1.2, "b": 0.8}, n_labelled=40)
    assert read_weights(path).fitted == FITTED
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "use": "model_weights"}))
    assert read_weights(path).fitted is None
    assert read_weights(path).model_weights == {"a": 1.2, "b": 0.8}


def test_the_order_of_a_pair_s_models_does_not_matter(path: Path) -> None:
    pairs = [{"models": ["b", "a"], "weight": 0.1}]
    path.write_text(
        json.dumps({"use": "fitted", "fitted": {"weights": FITTED.weights, "pairs": pairs, "none": 0.3}})
    )
    assert read_weights(path).fitted == FITTED


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"use": "fitted"}, "which is missing"),
        ({"use": "model_weights"}, "which are missing"),
        ({"use": "model_weights", "model_weights": {"a": 0.0}}, "model_weights.a"),
        ({"use": "model_weights", "model_weights": {"a": "1"}}, "must be a number"),
        ({"use": "votes"}, "use"),
        ({"format": "other/2", "use": "fitted"}, "format"),
        ({"use": "model_weights", "model_weight": {"a": 1.0}}, 'did you mean "model_weights"'),
        (
            {
                "use": "fitted",
                "fitted": {
                    "weights": {"a": 1.0},
                    "none": 0.0,
                    "pairs": [{"models": ["a", "c"], "weight": 1.0}],
                },
            },
            "a, c is no pair of its models",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_field(path: Path, content: object, complaint: str) -> None:
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=complaint):
        read_weights(path)


def test_a_file_that_is_not_there_is_a_typed_error(path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        read_weights(path)
    with pytest.raises(WeightsError, match="cannot write"):
        write_weights(path / "x", fitted=FITTED, model_weights={"a": 1.0}, n_labelled=0)
