"""A bounded pool of killable child processes, safe from any thread and after a fork."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from verifiers.errors import VerifierError

__all__ = ["ChildDiedError", "Pool"]

START_S = 60.0  # to import SymPy, on a machine that is busy with other things
MAX_REPLY_BYTES = 64_000
CLAIMS_PER_CHILD = 2_000  # SymPy caches; a child is replaced before it grows
_ROOT = Path(__file__).resolve().parents[2]


class ChildDiedError(Exception):
    """Raised when a child died or was killed while it worked on a claim; the message says which."""


class Pool:
    """Hands requests to children, one each at a time; starts them when they are needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._free = threading.BoundedSemaphore(self._size)
        self._idle: list[_Child] = []
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

    def _child(self) -> _Child:
        with self._lock:
            if self._closed:
                raise VerifierError("the math verifier is closed")
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                child.kill()
        return _Child()

    def _keep(self, child: _Child) -> bool:
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


class _Child:
    """One child process and its pipes."""

    def __init__(self) -> None:
        path = os.pathsep.join(p for p in (str(_ROOT), os.environ.get("PYTHONPATH", "")) if p)
        environment = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "verifiers.math.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment, cwd="/", bufsize=0,
            )  # fmt: skip
        except OSError as error:
            raise VerifierError(f"cannot start a child for the math verifier: {error}") from error
        self.served = 0
        self._buffer = b""
        try:
            self._reply(START_S)
        except ChildDiedError as error:
            self.kill()
            raise VerifierError(f"a child of the math verifier did not start: {error}") from error

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.served += 1
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe above
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise ChildDiedError("its child process died") from error
        return self._reply(timeout_s)

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe above
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise ChildDiedError(f"it was killed after {timeout_s:g} s")
                part = os.read(self._process.stdout.fileno(), 65_536)
                if not part or len(self._buffer) > MAX_REPLY_BYTES:
                    raise ChildDiedError("its child process died, at its limit of CPU time or memory")
                self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def kill(self) -> None:
        self._process.kill()
        self.forget()
        self._process.wait()

    def forget(self) -> None:
        """Close our ends of the pipes, so that the child sees its input end when its own parent is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
