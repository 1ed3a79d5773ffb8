"""What strangers may write to our queues: each once ended a worker, or could."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

EMPTY_CALL: list[object] = [[], {}, {}]


def rubbish(queue: str) -> dict[str, bytes | str]:
    """Return messages for ``queue`` that nobody can read, by what is wrong with them."""
    head = {"task": queue, "id": str(uuid4())}
    return {
        "no JSON": b"\xff rubbish",
        "nested without end": "[" * 100_000,
        "no envelope": json.dumps({"body": "x"}),
        "body not valid base64": message(queue, raw="abc"),
        "body not ASCII": message(queue, raw="\u00e9\u00e9"),
        "task is a list": message(queue, headers={**head, "task": ["x"]}),
        "timelimit is a number": message(queue, headers={**head, "timelimit": 5}),
        "body not three parts": message(queue, []),
        "no id": message(queue, headers={"task": queue}),
        "empty delivery_info": message(queue, info={}),
        "an ETA": message(queue, headers={**head, "eta": "2999-01-01T00:00:00"}),
        "a callback": message(queue, [[], {}, {"callbacks": [{"task": queue}]}]),
        "a type that is not one": message(queue, {"__type__": [], "__value__": 0}),
        "another content type": message(queue, content="application/x-python-serialize"),
        "a name that no database takes": message(queue, [], info={"exchange": "", "routing_key": "\0\ud800"}),
    }


def message(
    queue: str,
    body: object = EMPTY_CALL,
    *,
    raw: str | None = None,
    headers: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    content: str = "application/json",
) -> str:
    """Return a message as Celery writes it, but for what is given."""
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode() if raw is None else raw,
            "content-encoding": "utf-8",
            "content-type": content,
            "headers": {"task": queue, "id": str(uuid4())} if headers is None else headers,
            "properties": {
                "delivery_tag": str(uuid4()),
                "delivery_info": {"exchange": "", "routing_key": queue} if info is None else info,
                "body_encoding": "base64",
                "priority": 0,
            },
        }
    )
