"""Relations made of embeddings, entailment and behaviour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoner.errors import InvalidRuleError
from reasoner.relations import (
    behavioural_relation,
    embedding_relation,
    entailment_relation,
    numbers_in,
)

VECTORS = {
    "gets 29 dollars": [1.0, 0.0],
    "gets 35 dollars": [1.0, 0.01],
    "earns 29.00 dollars": [1.0, 0.02],
    "at the threshold": [0.8, 0.6],
    "the axis": [1.0, 0.0],
    "nowhere": [0.0, 0.0],
}


class Embedder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.texts += texts
        return np.array([VECTORS[text] for text in texts])


def test_texts_that_mention_different_numbers_are_never_one_answer() -> None:
    same = embedding_relation(Embedder())
    assert same("gets 29 dollars", "gets 35 dollars") is False
    assert same("gets 29 dollars", "earns 29.00 dollars") is True


def test_the_cosine_threshold_is_inclusive() -> None:
    assert embedding_relation(Embedder(), cosine=0.8)("the axis", "at the threshold") is True
    assert embedding_relation(Embedder(), cosine=0.81)("the axis", "at the threshold") is False


def test_a_text_without_direction_cannot_be_told() -> None:
    assert embedding_relation(Embedder())("nowhere", "the axis") is None


def test_each_text_is_embedded_once_and_only_when_numbers_agree() -> None:
    embedder = Embedder()
    same = embedding_relation(embedder)
    same("the axis", "at the threshold")
    same("the axis", "nowhere")
    same("gets 29 dollars", "gets 35 dollars")
    assert embedder.texts == ["the axis", "at the threshold", "nowhere"]


def test_an_impossible_cosine_is_refused() -> None:
    with pytest.raises(InvalidRuleError):
        embedding_relation(Embedder(), cosine=1.5)


def test_numbers_are_compared_in_normal_form() -> None:
    assert numbers_in("$1,200.50 and 50%, then 3.") == ("1200.5", "50%", "3")
    assert numbers_in("no number") == ()
    assert numbers_in("covid-19, 3-5 days, -2") == ("19", "3", "5", "-2")


def test_one_number_in_two_writings_is_the_same_without_asking() -> None:
    embedder = Embedder()
    assert embedding_relation(embedder)("$1,200", "1200.0") is True
    assert embedder.texts == []


@pytest.mark.parametrize(
    ("forth", "back", "expected"),
    [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (None, True, None),
        (True, None, None),
        (None, False, False),
        (False, None, False),
    ],
)
def test_entailment_must_hold_both_ways(
    *, forth: bool | None, back: bool | None, expected: bool | None
) -> None:
    table = {("a", "b"): forth, ("b", "a"): back}
    assert entailment_relation(lambda p, h: table[p, h])("a", "b") is expected


def test_programs_that_behave_alike_on_every_input_are_one_answer() -> None:
    same = behavioural_relation({"f": ["1", "2"], "g": ["1", "2"], "h": ["1", "3"]})
    assert same("f", "g") is True
    assert same("f", "h") is False


def test_a_program_that_could_not_be_observed_cannot_be_told() -> None:
    same = behavioural_relation({"f": ["1"], "g": None, "empty": [], "short": ["1", "2"]})
    assert same("f", "g") is None
    assert same("f", "unknown") is None
    assert same("empty", "empty") is None
    assert same("f", "short") is None
