"""Claims run together within a bound, or alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from verifiers.code.turns import Turns


def test_no_more_run_together_than_allowed_even_when_some_want_to_be_alone() -> None:
    turns, lock = Turns(2), threading.Lock()
    running, seen = [0], {"together": 0, "beside one alone": 0}

    def run(number: int) -> None:
        alone = number % 5 == 0
        with turns.alone() if alone else turns.together():
            with lock:
                running[0] += 1
                key = "beside one alone" if alone else "together"
                seen[key] = max(seen[key], running[0])
            with lock:
                running[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(200)))
    assert seen["together"] <= 2
    assert seen["beside one alone"] == 1


def test_a_turn_is_given_back_after_an_error() -> None:
    turns = Turns(1)
    for take in (turns.together, turns.alone, turns.together):
        with pytest.raises(ZeroDivisionError), take():
            1 / 0  # noqa: B018
