"""Handing ids to the broker, after the commit that wrote what they point to."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.broker import connected
from worker.messages import RECONCILE, broker_priority, encode

logger = logging.getLogger(__name__)

BROKER_ERRORS = (OperationalError, OSError, RedisError)
"""The last are what a broker answers that is there but takes nothing: its disk or memory is full, or it is loading."""


class Publisher(Protocol):
    """Whatever can hand tasks to a stage."""

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        """Hand (id, urgency) pairs to the stage that reads ``queue``; 9 is the most urgent.

        Returns:
            Whether all of them are in the broker; otherwise none, some or all may be.
        """
        ...

    def wake(self) -> None:
        """Ask the reconciler for a sweep at once, since something new waits."""
        ...


class CeleryPublisher:
    """Publishes through Celery, ``message_tasks`` ids of one urgency to a message.

    A broker that is away is logged and survived: the rows are the truth, and the reconciler publishes what was
    not published.
    """

    def __init__(self, app: Celery, *, message_tasks: int) -> None:
        self._app = app
        self._message_tasks = message_tasks

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        """Hand (id, urgency) pairs to the stage that reads ``queue``; return whether all are in the broker."""
        by_urgency: dict[int, list[UUID]] = defaultdict(list)
        for task_id, urgency in tasks:
            by_urgency[urgency].append(task_id)
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                for urgency, ids in sorted(by_urgency.items(), reverse=True):
                    for start in range(0, len(ids), self._message_tasks):
                        self._app.send_task(
                            queue,
                            args=[encode(ids[start : start + self._message_tasks])],
                            queue=queue,
                            priority=broker_priority(urgency),
                            producer=producer,
                            retry=False,
                        )
        except BROKER_ERRORS as error:
            logger.warning(
                "broker away, the reconciler will publish", extra={"queue": queue, "error": str(error)}
            )
            return False
        return True

    def wake(self) -> None:
        """Ask the reconciler for a sweep at once; when the broker is away, the clock will.

        A sweep that somebody has asked for and nobody has begun sees what is new as well, so one may wait and not more.
        """
        try:
            with connected(self._app) as broker:
                if broker.depth(RECONCILE) > 0:
                    return
            self._app.send_task(RECONCILE, queue=RECONCILE, retry=False)
        except BROKER_ERRORS as error:
            logger.warning("broker away, the clock will wake the reconciler", extra={"error": str(error)})
