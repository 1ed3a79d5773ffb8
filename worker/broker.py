"""What the broker says of itself: how long its queues are, and whether it may have lost what it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from celery import Celery

MARKER = "merge-reasoner:marker"
"""A key that goes when the broker is flushed."""


class Broker:
    """The broker behind an open connection."""

    def __init__(self, channel: Any) -> None:  # noqa: ANN401 (kombu's virtual channels; the stubs know AMQP's only)
        self._channel = channel

    def depth(self, queue: str) -> int:
        """Return how many messages of a queue are waiting; those that workers hold are not."""
        return int(self._channel.queue_declare(queue).message_count)

    def identity(self) -> str:
        """Return a word that changes when the broker may have lost messages: flushed, restarted or replaced.

        A restarted one may lack what came in the second before, since its log is synced once a second.
        """
        client = self._channel.client
        client.set(MARKER, uuid4().hex, nx=True)
        run = client.info("server").get("run_id", "")
        return f"{run}/{client.get(MARKER).decode()}"


@contextmanager
def connected(app: Celery) -> Iterator[Broker]:
    """Open the broker for as long as the block takes.

    Raises:
        kombu.exceptions.OperationalError: It is away.
    """
    with app.connection_for_read() as connection:
        yield Broker(connection.default_channel)
