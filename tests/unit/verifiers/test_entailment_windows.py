"""Windows over long premises, and what they say together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.entailment.windows import together, windows_of
from verifiers.nli import NliScores


def scores(entailment: float, contradiction: float) -> NliScores:
    return NliScores(
        entailment=entailment, neutral=1.0 - entailment - contradiction, contradiction=contradiction
    )


def one_score() -> st.SearchStrategy[NliScores]:
    weights = st.tuples(*[st.floats(0.001, 1.0)] * 3)
    return weights.map(lambda w: scores(w[0] / sum(w), w[2] / sum(w)))


@given(n_tokens=st.integers(1, 3000), room=st.integers(1, 300), overlap=st.integers(0, 100))
def test_windows_cover_every_token_and_none_is_longer_than_its_room(
    n_tokens: int, room: int, overlap: int
) -> None:
    windows = windows_of(n_tokens, room=room, overlap=overlap)
    assert windows[0][0] == 0
    assert windows[-1][1] == n_tokens
    assert all(0 < end - begin <= room for begin, end in windows)
    for (_, end), (begin, _) in pairwise(windows):
        assert end - begin == min(overlap, room // 2)


@given(n_tokens=st.integers(1, 300), room=st.integers(1, 300))
def test_what_fits_is_one_window(n_tokens: int, room: int) -> None:
    assert (len(windows_of(n_tokens, room=room)) == 1) == (n_tokens <= room)


def test_a_window_of_one_token_is_worked_out_by_hand() -> None:
    assert windows_of(3, room=1) == [(0, 1), (1, 2), (2, 3)]
    assert windows_of(10, room=6, overlap=2) == [(0, 6), (4, 10)]
    assert windows_of(11, room=6, overlap=2) == [(0, 6), (4, 10), (8, 11)]


@given(one_score())
def test_one_window_says_what_it_says(one: NliScores) -> None:
    found = together([one])
    assert found.entailment == pytest.approx(one.entailment)
    assert found.contradiction == pytest.approx(one.contradiction)


@given(st.lists(one_score(), min_size=1, max_size=8))
def test_the_windows_together_are_shares_in_any_order(windows: list[NliScores]) -> None:
    found = together(windows)
    assert found.entailment + found.neutral + found.contradiction == pytest.approx(1.0)
    assert min(found.entailment, found.neutral, found.contradiction) >= 0.0
    assert found.n_windows == len(windows)
    assert together(windows[::-1]) == found


def test_one_window_that_entails_is_enough_and_two_at_odds_decide_nothing() -> None:
    beside = scores(0.02, 0.03)
    assert together([beside, scores(0.97, 0.01), beside]).entailment == pytest.approx(0.97)
    assert together([beside, scores(0.01, 0.96)]).contradiction == pytest.approx(0.96)
    torn = together([scores(0.99, 0.01), scores(0.01, 0.99)])
    assert [torn.entailment, torn.contradiction] == pytest.approx([0.5, 0.5])
