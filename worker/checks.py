"""What a health report asks of the broker and the database."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.broker import connected
from worker.errors import StoreUnavailableError
from worker.store.transactions import Store, is_alive


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
