"""Word that chains are no longer wanted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from worker.engines.cancellation import Cancellation, cancellation_of
from worker.errors import SamplingCancelledError


@dataclass(frozen=True)
class Request:
    cancellation: Cancellation | None = None


def test_whoever_waits_is_told_once_and_only_while_it_waits() -> None:
    cancellation, told = Cancellation(), list[str]()
    with cancellation.telling(lambda: told.append("early")):
        pass
    with cancellation.telling(lambda: told.append("waiting")):
        cancellation.give()
        cancellation.give()
    assert told == ["waiting"]


def test_who_comes_late_is_told_at_once() -> None:
    cancellation, told = Cancellation(), list[str]()
    cancellation.give()
    with cancellation.telling(lambda: told.append("late")):
        assert told == ["late"]


def test_work_goes_on_until_it_is_given() -> None:
    cancellation = Cancellation()
    cancellation.check()
    cancellation.give()
    with pytest.raises(SamplingCancelledError):
        cancellation.check()


def test_the_requests_of_one_call_share_theirs() -> None:
    shared = Cancellation()
    assert cancellation_of([Request(), Request(shared)]) is shared
    assert not cancellation_of([Request()]).is_given
    assert not cancellation_of([]).is_given
