"""Waiting for what other processes do, in benchmarks and in tests."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 240.0  # a moment on a quiet machine; a loaded one is slow, not wrong


def until(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come; patience bounds a failing run, nothing depends on how fast it comes.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never in {patience_s:.0f} s: {what}")
        time.sleep(0.05)
