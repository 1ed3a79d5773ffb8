"""A child process of ours that answers JSON lines and is killed when it takes too long."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Child", "ChildDiedError"]

_ROOT = Path(__file__).resolve().parents[1]


class ChildDiedError(Exception):
    """Raised when a child died or was killed while it worked on a request; the message says which."""

    def __init__(self, message: str, *, out_of_time: bool = False) -> None:
        super().__init__(message)
        self.out_of_time = out_of_time


class Child:
    """One child process and its pipes: a request is a line on its input, a reply one on its output.

    The child runs a module of ours and says something when it is ready; it must end when its input does. One thread at
    a time may use it.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        start_s: float,
        max_reply_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process and wait for its first line.

        Args:
            module: Run as ``python -m``.
            arguments: Its arguments.
            start_s: Seconds until its first line.
            max_reply_bytes: A longer reply is not read.
            environment: Beside the few variables that every child gets; nothing else of ours is handed on.

        Raises:
            OSError: No process can be started.
            ChildDiedError: It died, or said nothing.
        """
        path = os.pathsep.join(p for p in (str(_ROOT), os.environ.get("PYTHONPATH", "")) if p)
        given = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env={**given, **(environment or {})}, cwd="/", bufsize=0,
        )  # fmt: skip
        self._max_reply_bytes = max_reply_bytes
        self._buffer = b""
        self.served = 0
        try:
            self.first = self._reply(start_s)
        except BaseException:
            self.kill()
            raise

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Return the child's reply; after an error the child must be killed.

        Raises:
            ChildDiedError: It died, or did not reply within ``timeout_s``.
        """
        self.served += 1
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe above
        try:
            self._send(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise ChildDiedError("its child process died") from error
        return self._reply(timeout_s)

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - likewise
        rest = memoryview(line)
        while rest:  # an unbuffered pipe may take a part only
            rest = rest[self._process.stdin.write(rest) :]

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - likewise
        deadline = time.monotonic() + timeout_s
        parts = [self._buffer]
        n_bytes = len(self._buffer)
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise ChildDiedError(
                        f"its child process was killed after {timeout_s:g} s", out_of_time=True
                    )
                parts.append(os.read(self._process.stdout.fileno(), 65_536))
                n_bytes += len(parts[-1])
                if not parts[-1] or n_bytes > self._max_reply_bytes:
                    raise ChildDiedError("its child process died, perhaps at a limit of CPU time or memory")
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """End the process, from any thread; one that waits for its reply sees it die and must still ``kill`` it."""
        self._process.kill()

    def kill(self) -> None:
        """End the process at once and let go of its pipes."""
        self._process.kill()
        self.forget()
        self._process.wait()

    def forget(self) -> None:
        """Close our ends of the pipes, so that the child sees its input end when its own parent is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
