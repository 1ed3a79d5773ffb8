"""Lanes: used again, one claim at a time, in the order of arrival, and never more of them than allowed."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.lanes import Lanes, Queue
from verifiers.sandbox.protocol import Pool


class Bed:
    """A lane that does nothing."""

    open = 0
    most = 0
    lock = threading.Lock()

    def __init__(self, size: int) -> None:
        self.size = size
        self.n_claims = 0
        with Bed.lock:
            Bed.open += 1
            Bed.most = max(Bed.most, Bed.open)

    def is_fresh(self, max_claims: int) -> bool:
        return self.n_claims < max_claims

    def close(self) -> None:
        with Bed.lock:
            Bed.open -= 1


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    Bed.open = Bed.most = 0


def test_a_lane_is_used_again_for_its_own_size_only() -> None:
    lanes = Lanes(Bed, usual=1, max_claims=9, max_lanes=2)
    with lanes.lane(1) as first:
        pass
    with lanes.lane(2) as second:
        assert second.size == 2
    with lanes.lane(1) as third:
        assert third is first
    lanes.close()
    assert Bed.open == 0


def test_whatever_the_sizes_there_are_no_more_lanes_than_allowed() -> None:
    lanes = Lanes(Bed, usual=1, max_claims=9, max_lanes=3)

    def claim(size: int) -> None:
        with lanes.lane(size):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim, itertools.islice(itertools.cycle((1, 1, 2, 3)), 200)))
    lanes.close()
    assert Bed.open == 0
    assert Bed.most == 3


def test_a_lane_is_closed_when_its_use_fails() -> None:
    lanes = Lanes(Bed, usual=1, max_claims=9)
    with pytest.raises(SandboxUnavailableError), lanes.lane(1):
        raise SandboxUnavailableError("gone")
    assert Bed.open == 0
    lanes.close()


def test_what_becomes_of_lanes_is_counted() -> None:
    fails = iter([False, True, False, False])

    def start(size: int) -> Bed:
        if next(fails):
            raise SandboxUnavailableError("no memory")
        return Bed(size)

    lanes = Lanes(start, usual=1, max_claims=9, max_lanes=2)
    with lanes.lane(1):
        assert (lanes.pool().n_busy, lanes.pool().n_warm) == (1, 0)
        with pytest.raises(SandboxUnavailableError), lanes.lane(1):
            pass
    for _ in range(3):
        with lanes.lane(1):
            pass
    with pytest.raises(SandboxUnavailableError), lanes.lane(1):
        raise SandboxUnavailableError("gone")
    with lanes.lane(1):
        pass
    assert lanes.pool() == Pool(n_warm=1, n_busy=0, n_started=2, n_not_started=1, n_broken=1, n_served=5)
    lanes.close()


def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    queue, served = Queue(1), []
    arrived = [threading.Event() for _ in range(5)]

    def come(number: int) -> None:
        arrived[number].set()
        with queue.turn():
            served.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(5)]
    with queue.turn():
        for number, thread in enumerate(threads):
            thread.start()
            while len(queue._waiting) <= number:
                arrived[number].wait()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]
