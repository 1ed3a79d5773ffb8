from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.outcomes import Outcome
from verifiers.claims import Collection
from verifiers.math.equality import decide
from verifiers.math.rational import RationalScalars

SMALL = st.lists(st.integers(0, 3), min_size=2, max_size=6)


def _outcome(gold: str, answer: str, collection: Collection) -> Outcome:
    return decide(gold, answer, RationalScalars(), collection=collection).outcome


@pytest.mark.parametrize("form", ["{}", r"\{{{}\}}", "x = {}"])
@given(SMALL, SMALL)
def test_a_collection_is_what_was_asked_for(form: str, left: list[int], right: list[int]) -> None:
    texts = [form.format(", ".join(map(str, items))) for items in (left, right)]
    expected: dict[Collection, bool] = {
        "set": set(left) == set(right),
        "multiset": Counter(left) == Counter(right),
        "list": left == right,
    }
    for collection, same in expected.items():
        outcome = Outcome.CONFIRMED if same else Outcome.REFUTED
        assert _outcome(texts[0], texts[1], collection) == outcome
        assert _outcome(texts[1], texts[0], collection) == outcome


@pytest.mark.parametrize(
    ("left", "right", "collection", "says"),
    [
        ("{1,2,2}", "{1,2}", "set", Outcome.CONFIRMED),
        ("{1,2,2}", "{1,2}", "multiset", Outcome.REFUTED),
        ("{1,2,2}", "{2,1,2}", "multiset", Outcome.CONFIRMED),
        ("{1,2,2}", "{2,1,1}", "multiset", Outcome.REFUTED),
        (r"1, \frac{1}{2}, 0.5", r"0.5, 1, \frac12", "multiset", Outcome.CONFIRMED),
        ("(1,2), (1,2), (3,4)", "(3,4), (1,2), (1,2)", "multiset", Outcome.CONFIRMED),
        ("(1,2), (1,2), (3,4)", "(3,4), (3,4), (1,2)", "multiset", Outcome.REFUTED),
        ("1, 2, 3", "3, 2, 1", "list", Outcome.REFUTED),
        ("x = 1 or x = 2", "2, 1", "multiset", Outcome.CONFIRMED),
        ("x = 1 or x = 2", "2, 1", "list", Outcome.REFUTED),
        ("1, 2", "(1, 2)", "list", Outcome.CONFIRMED),
        ("2, 1", "(1, 2)", "list", Outcome.REFUTED),
        ("1, 1", "1", "multiset", Outcome.REFUTED),
    ],
)
def test_repetitions_and_order_count_where_asked(
    left: str, right: str, collection: Collection, says: Outcome
) -> None:
    assert _outcome(left, right, collection) == says
    assert _outcome(right, left, collection) == says


def test_a_list_too_long_to_compare_is_refused_and_not_cut_off() -> None:
    many = ", ".join(map(str, range(100)))
    assert _outcome(f"{many}, 101", f"{many}, 102", "set") == Outcome.ABSTAINED
    assert _outcome(many, ", ".join(map(str, reversed(range(100)))), "multiset") == Outcome.CONFIRMED
