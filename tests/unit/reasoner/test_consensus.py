"""Definitions 1 and 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.consensus import consensus_gain, mean_matrix, merge_operator
from reasoner.errors import InvalidRuleError

outputs = st.dictionaries(
    st.sampled_from(["m1", "m2", "m3"]),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.0, 0.01, 0.02, 0.5]), max_size=4),
)


def exactly(left: str, right: str) -> float:
    return float(left == right)


@given(outputs)
def test_definition_1_is_the_union_of_what_exceeds_tau_min(of: dict[str, dict[str, float]]) -> None:
    merged = merge_operator(of)
    expected = {(y, m): p for m, answers in of.items() for y, p in answers.items() if p > 0.01}
    assert {(y, m): p for y, models in merged.items() for m, p in models.items()} == expected


@given(outputs, outputs)
def test_adding_a_model_changes_nothing_about_the_others(
    old: dict[str, dict[str, float]], new: dict[str, dict[str, float]]
) -> None:
    added = {f"new-{model}": answers for model, answers in new.items()}
    merged = merge_operator({**old, **added})
    kept = {
        answer: known
        for answer, models in merged.items()
        if (known := {m: p for m, p in models.items() if m in old})
    }
    assert kept == merge_operator(old)


def test_definition_2_worked_by_hand() -> None:
    gain = consensus_gain({"b": "x", "a": "x", "c": "y"}, similarity=exactly)
    assert gain.models == ("a", "b", "c")
    assert gain.matrix == ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert gain.gain == pytest.approx(1 / 3)


def test_no_answer_resembles_nothing() -> None:
    assert consensus_gain({"a": None, "b": None}, similarity=exactly).gain == 0.0


def test_a_model_alone_agrees_with_itself() -> None:
    assert consensus_gain({"a": "x"}, similarity=exactly).gain == 1.0


def test_each_pair_is_asked_once_in_text_order() -> None:
    asked = []

    def similarity(left: str, right: str) -> float:
        asked.append((left, right))
        return 0.5

    assert consensus_gain({"m": "z", "n": "y", "o": "x"}, similarity=similarity).gain == 0.5
    assert sorted(asked) == [("x", "y"), ("x", "z"), ("y", "z")]


def test_the_mean_over_tasks() -> None:
    agree = consensus_gain({"a": "x", "b": "x"}, similarity=exactly)
    differ = consensus_gain({"a": "x", "b": "y"}, similarity=exactly)
    assert mean_matrix([agree, differ]).matrix == ((1.0, 0.5), (0.5, 1.0))


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InvalidRuleError):
        consensus_gain({}, similarity=exactly)
    with pytest.raises(InvalidRuleError):
        consensus_gain({"a": "x", "b": "y"}, similarity=lambda *_: 1.5)
    with pytest.raises(InvalidRuleError):
        mean_matrix([consensus_gain({m: "x"}, similarity=exactly) for m in "ab"])
