"""Messages that cannot be read: kept with the reason instead of lost, and never the end of a worker.

Left alone, Celery drops what it cannot decode, and bytes that are no JSON at all end the whole worker, since kombu
reads them outside of anybody's ``except``. The rows are the truth, so nothing hangs on such a message; but an operator
wants to see that somebody writes them: an old producer, a newer one, or a stranger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, cast

from celery import Celery
from celery.worker.consumer import Consumer
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport

from worker.errors import StoreUnavailableError
from worker.messages import QUEUES
from worker.store.dead import park_message
from worker.store.transactions import Store
from worker.telemetry.metrics import PARKED

logger = logging.getLogger(__name__)

Park = Callable[[str, object, str], None]
"""Takes queue, body and reason."""


def parking_lot(store: Store, *, who: str) -> Park:
    """Return what keeps a message in the table ``parked_messages``."""

    def park(queue: str, body: object, reason: str) -> None:
        PARKED.labels(queue if queue in QUEUES else "").inc()  # a stranger's word is no label
        logger.warning("message parked", extra={"queue": queue, "reason": reason})
        try:
            park_message(store, queue=queue, body=body, reason=reason, who=who)
        except StoreUnavailableError as error:  # the event loop must go on; the log is the second-best place
            logger.error(  # noqa: TRY400 (the database's own trouble is told elsewhere)
                "message not parked",
                extra={"queue": queue, "body": str(body)[:2000], "reason": reason, "error": str(error)},
            )

    return park


def park_unreadable(app: Celery, park: Park) -> None:
    """Have this process's worker park what it cannot read."""
    transport = _transport(park)
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = cast(
            "Any", lambda: transport
        )  # a function is allowed; the stubs know names only
    app.conf.worker_consumer = _consumer(park)


def _consumer(park: Park) -> type[Consumer]:
    """Return a consumer that parks what Celery would drop: no stage of ours, no task message, another content type."""

    class ParkingConsumer(Consumer):
        def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ANN401 (kombu's)
            park(_queue_of(message), _text(message.body), f"cannot be decoded: {exc}")
            message.ack()

        def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ANN401
            park(_queue_of(message), body, "no task message")
            message.ack()

        def on_unknown_task(self, _body: object, message: Any, exc: Exception) -> None:  # noqa: ANN401
            park(_queue_of(message), _text(message.body), f"unknown stage {exc}")
            message.ack()

        def on_invalid_task(self, _body: object, message: Any, exc: Exception) -> None:  # noqa: ANN401
            park(_queue_of(message), _text(message.body), f"invalid task message: {exc}")
            message.ack()

    return ParkingConsumer


def _transport(park: Park) -> type[Transport]:
    """Return a transport that parks what is not even a message."""

    class ParkingChannel(Channel):
        def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 (kombu's signature)
            try:
                return super()._brpop_read(**options)  # type: ignore[misc]  # kombu's stubs leave it out
            except json.JSONDecodeError as error:
                park("", error.doc, f"no JSON: {error.msg}")
                return True
            except UnicodeDecodeError as error:
                park("", error.object.decode("utf-8", "replace"), f"no UTF-8: {error.reason}")
                return True

    class ParkingTransport(Transport):
        Channel = ParkingChannel

        def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401 (kombu's signature)
            if _is_envelope(message):
                super()._deliver(message, queue)
            else:
                park(queue or "", message, "no message envelope")

    return ParkingTransport


def _is_envelope(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(properties := message.get("properties"), dict):
        return False
    return (
        isinstance(properties.get("delivery_tag"), str)
        and isinstance(properties.get("delivery_info"), dict)
        and isinstance(message.get("headers"), dict)
        and isinstance(message.get("body", ""), str)
        and properties.get("body_encoding") in {None, "base64"}
    )


def _queue_of(message: Any) -> str:  # noqa: ANN401 (kombu's)
    return str((message.delivery_info or {}).get("routing_key", ""))


def _text(body: object) -> object:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body
