"""What a health report asks of the broker, the database and the sweeps."""

from __future__ import annotations

import time
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.broker import connected
from worker.errors import StoreUnavailableError
from worker.store.transactions import Store, is_alive


class Sweeps:
    """Whether this process's sweeps of the reconciler end: without them nothing new is published.

    They may fail, each of them, or nobody may ask for one, and neither shows in what else is looked at.
    """

    def __init__(self, *, within_s: float) -> None:
        self._within_s = within_s
        self._ended_at_s: float | None = None

    def ended(self) -> None:
        """Tell that one has ended well."""
        self._ended_at_s = time.monotonic()

    def fault(self) -> str:
        """Return what is wrong, or an empty string; the time counts from the first look."""
        now_s = time.monotonic()
        if self._ended_at_s is None:
            self._ended_at_s = now_s
        silent_s = now_s - self._ended_at_s
        if silent_s <= self._within_s:
            return ""
        return f"no sweep has ended for {silent_s:.0f} s: the clock is silent, or every sweep fails"


def check_broker(app: Celery) -> str:
    """Return what is wrong with the way to the broker, or an empty string."""
    try:
        with connected(app) as broker:
            broker.identity()  # which writes: a broker whose disk is full answers, and is of no use
    except (OperationalError, OSError, RedisError) as error:
        return f"broker away: {error}"
    return ""


def check_database(store: Store) -> str:
    """Return what is wrong with the way to the database, or an empty string."""
    try:
        is_alive(store)
    except StoreUnavailableError as error:
        return f"database away: {error}"
    return ""


def n_waiting(app: Celery, queues: Sequence[str]) -> int:
    """Return how many messages wait in ``queues``; 0 when the broker cannot be asked, which another check tells."""
    try:
        with connected(app) as broker:
            return sum(broker.depth(queue) for queue in queues)
    except (OperationalError, OSError, RedisError):
        return 0
