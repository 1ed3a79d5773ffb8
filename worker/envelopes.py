"""What a message must look like before Celery may see it.

Whoever can write to the broker can write anything, and Celery and kombu take much on trust: a header of another type, a
body of another length or a missing id ends their event loop, and the message waits for the next worker. So all that is
used of a message is looked at here, and whatever else it carries is left out: a time limit, an ETA or a callback is
nothing that a message of ours has, and an ``expires`` would be judged by two machines' clocks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from worker.errors import MessageError


def trimmed(raw: object) -> dict[str, Any]:
    """Return a raw message with what Celery needs of it and nothing else.

    Raises:
        MessageError: It lacks something, something is of another type, or it asks for what no message of ours asks.
    """
    if not isinstance(raw, dict):
        raise MessageError("no message envelope: no object")
    properties = _mapping(raw, "properties")
    info = _mapping(properties, "delivery_info")
    body, encoding = _text(raw, "body"), properties.get("body_encoding")
    if encoding not in (None, "base64"):
        raise MessageError("no message envelope: an unknown body_encoding")
    if encoding == "base64":
        _check_base64(body)
    tag = _text(properties, "delivery_tag")
    if not tag.isascii():
        raise MessageError("no message envelope: delivery_tag is not ASCII")
    return {
        "body": body,
        "content-type": _text(raw, "content-type"),
        "content-encoding": _text(raw, "content-encoding"),
        "headers": _headers(_mapping(raw, "headers")),
        "properties": {
            "body_encoding": encoding,
            "delivery_tag": tag,
            "delivery_info": {
                "exchange": _text(info, "exchange"),
                "routing_key": _text(info, "routing_key"),
            },
            "priority": properties.get("priority") if _is_small(properties.get("priority")) else 0,
        },
    }


def check_call(payload: object) -> None:
    """Look at what a body says once it is decoded: arguments, named ones, and nothing that is to follow.

    Raises:
        MessageError: It says something else.
    """
    if not isinstance(payload, list) or len(payload) != 3:
        raise MessageError("no task message: its body is not arguments, named arguments and what follows")
    arguments, named, following = payload
    if not isinstance(arguments, list) or not isinstance(named, dict) or not isinstance(following, dict):
        raise MessageError("no task message: its body's parts are of other types")
    if any(following.values()):
        raise MessageError("no task message of ours: it asks for other tasks to follow")


def _headers(headers: Mapping[str, Any]) -> dict[str, str]:
    for name in ("task", "id"):
        if not isinstance(headers.get(name), str):
            raise MessageError(f"no task message: its {name!r} is no text")
    if headers.get("timelimit") not in (None, [None, None]) or headers.get("eta") is not None:
        raise MessageError("no task message of ours: it asks for a time limit or an ETA")
    return {name: headers[name] for name in ("task", "id")}


def _mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise MessageError(f"no message envelope: {name} is no object")
    return found


def _text(parent: Mapping[str, Any], name: str) -> str:
    found = parent.get(name)
    if not isinstance(found, str):
        raise MessageError(f"no message envelope: {name} is no text")
    return found


def _check_base64(body: str) -> None:
    try:
        base64.b64decode(body.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MessageError(f"no message envelope: its body is no base64: {error}") from error


def _is_small(priority: object) -> bool:
    return isinstance(priority, int) and 0 <= priority <= 255
