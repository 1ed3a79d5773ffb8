"""The window of requests under way."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from worker.engines.window import Window


@given(most=st.integers(1, 64), story=st.lists(st.booleans(), max_size=200))
def test_the_limit_stays_between_one_and_its_bound(most: int, story: list[bool]) -> None:
    window = Window(most)
    for overloaded in story:
        window.shrink() if overloaded else window.grow()
        assert 1 <= window.limit <= most


def test_an_overload_halves_it_and_successes_bring_it_back() -> None:
    window = Window(8)
    window.shrink()
    assert window.limit == 4
    window.shrink()
    assert window.limit == 2
    for _ in range(60):
        window.grow()
    assert window.limit == 8


def test_no_more_than_the_limit_are_inside() -> None:
    async def run() -> int:
        window, inside, most = Window(8), 0, 0
        window.shrink()

        async def one() -> None:
            nonlocal inside, most
            async with window:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(run()) == 4
