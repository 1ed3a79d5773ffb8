"""A bounded pool of killable child processes, safe from any thread and after a fork."""

from __future__ import annotations

import os
import threading
from typing import Any

from verifiers.children import Child, ChildDiedError
from verifiers.errors import VerifierError

__all__ = ["Pool"]

START_S = 60.0  # to import SymPy, on a machine that is busy with other things
MAX_REPLY_BYTES = 64_000
CLAIMS_PER_CHILD = 2_000  # SymPy caches; a child is replaced before it grows


class Pool:
    """Hands requests to children, one each at a time; starts them when they are needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._free = threading.BoundedSemaphore(self._size)
        self._idle: list[Child] = []
        self._closed = False

    def ask(self, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Return a child's reply.

        Args:
            request: JSON values.
            timeout_s: Wall seconds a child may work on it; waiting for a free child doesn't count.

        Raises:
            ChildDiedError: The child died, or was killed at the time limit.
            VerifierError: The pool is closed, or no child can be started.
        """
        if os.getpid() != self._owner:  # forked: the children are our parent's
            self._lock = threading.Lock()
            for child in self._idle:
                child.forget()
            self._reset()
        with self._free:
            child = self._child()
            try:
                reply = child.ask(request, timeout_s)
            except BaseException:
                child.kill()
                raise
            if reply.get("spent") or child.served >= CLAIMS_PER_CHILD or not self._keep(child):
                child.kill()
            return reply

    def _child(self) -> Child:
        with self._lock:
            if self._closed:
                raise VerifierError("the math verifier is closed")
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                child.kill()
        return _new_child()

    def _keep(self, child: Child) -> bool:
        with self._lock:
            if self._closed:
                return False
            self._idle.append(child)
            return True

    def close(self) -> None:
        """Kill the children; requests under way end with their claim."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.kill()


def _new_child() -> Child:
    try:
        return Child("verifiers.math.child", start_s=START_S, max_reply_bytes=MAX_REPLY_BYTES)
    except OSError as error:
        raise VerifierError(f"cannot start a child for the math verifier: {error}") from error
    except ChildDiedError as error:
        raise VerifierError(f"a child of the math verifier did not start: {error}") from error
