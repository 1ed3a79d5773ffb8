"""The window of requests under way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.window import PATIENCE_S, Window
from worker.errors import EngineUnavailableError


async def refused(window: Window) -> None:
    async with window.place() as ticket:
        window.shrink(ticket)


@given(most=st.integers(1, 64), story=st.lists(st.booleans(), max_size=200))
def test_the_limit_stays_between_one_and_its_bound(most: int, story: list[bool]) -> None:
    async def run() -> None:
        window = Window(most)
        for overloaded in story:
            if overloaded:
                await refused(window)
            else:
                window.grow()
            assert 1 <= window.limit <= most

    asyncio.run(run())


def test_an_overload_halves_it_and_successes_bring_it_back() -> None:
    window = Window(8)
    asyncio.run(refused(window))
    assert window.limit == 4
    asyncio.run(refused(window))
    assert window.limit == 2
    for _ in range(2000):
        window.grow()
    assert window.limit == 8


def test_one_burst_of_refusals_halves_it_once() -> None:
    async def run() -> None:
        window = Window(8)
        async with window.place() as first, window.place() as second:
            window.shrink(first)
            window.shrink(second)
            assert window.limit == 4
        await refused(window)
        assert window.limit == 2

    asyncio.run(run())


def test_where_it_was_too_much_it_grows_slowly_and_beyond_that_as_ever() -> None:
    window = Window(16)
    while window.limit > 4:
        asyncio.run(refused(window))  # 16, then 8: eight were too many

    def n_successes(limit: int) -> int:
        n = 0
        while window.limit < limit:
            window.grow()
            n += 1
        return n

    below, at, beyond = n_successes(7), n_successes(9), n_successes(11)
    assert below < 3 * 7
    assert at > 10 * below
    assert beyond < 3 * 11


def test_no_more_than_the_limit_are_inside() -> None:
    async def run() -> int:
        window, inside, most = Window(8), 0, 0
        await refused(window)

        async def one() -> None:
            nonlocal inside, most
            async with window.place():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(run()) == 4


def test_nobody_is_let_in_during_a_pause() -> None:
    async def run() -> float:
        window = Window(8)
        window.pause(0.2)
        window.pause(0.1)  # an earlier end changes nothing
        async with window.place():
            return window.pause_s

    assert asyncio.run(run()) == 0.0


def test_a_pause_that_is_too_long_is_told_also_to_those_who_wait() -> None:
    async def run() -> None:
        window = Window(1)
        async with window.place():
            waiting = asyncio.create_task(refused(window))
            await asyncio.sleep(0)
            window.pause(2 * PATIENCE_S)
        with pytest.raises(EngineUnavailableError) as caught:
            await waiting
        assert caught.value.retry_after_s is not None
        assert PATIENCE_S < caught.value.retry_after_s <= 2 * PATIENCE_S

    asyncio.run(run())
