"""The ids of a file are remembered, however many and whatever they are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.submission.seen import SeenIds

IDS = st.one_of(st.sampled_from("abcdef"), st.text(st.characters(exclude_categories=[]), max_size=3))


@given(st.lists(IDS, max_size=40), st.integers(1, 20))
def test_the_first_line_of_an_id_is_told_in_memory_or_on_disk(ids: list[str], few: int) -> None:
    seen = SeenIds(few=few)
    first: dict[str, int] = {}
    for number, identifier in enumerate(ids, 1):
        assert seen.first(identifier, number) == first.setdefault(identifier, number)
    seen.close()
    assert seen.first("a", 7) == 7  # and a closed one begins anew
    seen.close()
