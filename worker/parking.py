"""Messages that cannot be read: kept with the reason instead of lost, and never the end of a worker.

Left alone, Celery drops what it cannot decode, and whatever it did not expect ends the whole worker, and the next one
that the message is given to, since its event loop runs outside of anybody's ``except``. So a message is looked at first
(``worker.envelopes``), and whatever goes wrong with it all the same ends with it and not with the worker. The rows are
the truth, so nothing hangs on such a message; but an operator wants to see that somebody writes them: an old producer,
a newer one, or a stranger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from queue import Empty
from typing import Any, cast

from celery import Celery
from celery.worker.consumer import Consumer
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport

from worker.envelopes import check_call, trimmed
from worker.errors import MessageError
from worker.messages import QUEUES
from worker.publisher import BROKER_ERRORS
from worker.store.dead import in_words, park_message
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
        except Exception as error:  # noqa: BLE001 (the event loop must go on; the log is the second-best place)
            logger.error(  # noqa: TRY400 (the database's own trouble is told elsewhere)
                "message not parked",
                extra={"queue": queue, "body": in_words(body)[:2000], "reason": reason, "error": str(error)},
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
    """Return a consumer that parks what Celery would drop or die of: no stage of ours, no call at all."""

    class ParkingConsumer(Consumer):
        def create_task_handler(self, *arguments: Any) -> Callable[[Any], None]:  # noqa: ANN401 (Celery's signature)
            handle = super().create_task_handler(*arguments)

            def on_task_received(message: Any) -> None:  # noqa: ANN401 (kombu's)
                try:
                    check_call(message.payload)
                    handle(message)
                except BROKER_ERRORS:
                    raise  # of acknowledging, say: Celery connects again
                except MessageError as error:
                    self._park(message, str(error))
                except Exception as error:
                    logger.exception("message not handled")
                    self._park(message, f"cannot be handled: {_told(error)}")

            return on_task_received

        def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ANN401
            self._park(message, f"cannot be decoded: {_told(exc)}")

        def on_unknown_task(self, _body: object, message: Any, exc: Exception) -> None:  # noqa: ANN401
            arguments, named, _ = message.payload
            body = {
                "stage": message.headers["task"],
                "arguments": [*arguments, named] if named else arguments,
            }
            self._park(message, f"unknown stage {exc}", body=body)

        def _park(self, message: Any, reason: str, *, body: object = None) -> None:  # noqa: ANN401
            park(message.delivery_info["routing_key"], _text(message.body) if body is None else body, reason)
            if not message.acknowledged:
                message.ack()

    return ParkingConsumer


def _transport(park: Park) -> type[Transport]:
    """Return a transport that parks what is not even a message."""

    class ParkingChannel(Channel):
        def _get_client(self) -> Any:  # noqa: ANN401 (kombu's signature)
            class Client(super()._get_client()):  # type: ignore[misc]  # a method that returns a class
                heard: tuple[bytes, bytes] | None = None

                def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:  # noqa: ANN401
                    response = super().parse_response(connection, command_name, **options)
                    if command_name == "BRPOP":
                        self.heard = response
                    return response

            return Client

        def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 (kombu's signature)
            self.client.heard = None
            try:
                return super()._brpop_read(**options)  # type: ignore[misc]  # kombu's stubs leave it out
            except (Empty, *BROKER_ERRORS):
                raise
            except Exception as error:
                if not self.client.heard:
                    raise
                key, item = self.client.heard
                logger.warning("message not delivered", exc_info=True)
                park(str(_text(key)).rsplit(self.sep, 1)[0], _text(item), _undelivered(error))
                return True

    class ParkingTransport(Transport):
        Channel = ParkingChannel

        def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401 (kombu's signature)
            try:
                fit = trimmed(message)
            except MessageError as error:
                park(queue or "", message, str(error))
                return
            super()._deliver(fit, queue)

    return ParkingTransport


def _undelivered(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8: {error.reason}"
    return f"cannot be delivered: {_told(error)}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _text(body: object) -> object:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body
