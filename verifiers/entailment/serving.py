"""The loop of a child process: JSON lines in, JSON lines out, and an end with its parent."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def serve(start: Callable[[], tuple[dict[str, Any], Answer]]) -> None:
    """Answer requests until standard input ends.

    A thread reads standard input and ends the process at its end, so that it dies with its parent whatever the main
    thread computes.

    Args:
        start: Gets ready; returns the first line and what answers requests. An error of either is the reply.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that prints can write into the replies
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    try:
        first, answer = start()
    except Exception as error:  # noqa: BLE001 - transformers raises anything on odd checkpoints, and our parent tells it
        _write(replies, _error(error))
        return
    _write(replies, first)
    while True:
        try:
            reply = answer(json.loads(requests.get()))
        except Exception as error:  # noqa: BLE001 - whatever torch raises, other requests must be served
            reply = _error(error)
        _write(replies, reply)


def _read(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _error(error: Exception) -> dict[str, Any]:
    return {"error": f"{type(error).__name__}: {error}"[:1000]}


def _write(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()
