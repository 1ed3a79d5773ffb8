"""Word that chains are no longer wanted, from whoever asked for them to the engine that works on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from worker.errors import SamplingCancelledError


class Cancellation:
    """Is given once, from any thread; an engine that waits for chains is told at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self._is_given = False

    @property
    def is_given(self) -> bool:
        """Whether the chains are no longer wanted."""
        return self._is_given

    def give(self) -> None:
        """Say that the chains are no longer wanted; saying it again does nothing."""
        with self._lock:
            self._is_given, told = True, self._told
            self._told = []
        for abort in told:
            abort()

    @contextmanager
    def telling(self, abort: Callable[[], None]) -> Iterator[None]:
        """Call ``abort`` once if the cancellation is given before the block ends, or was before it began."""
        with self._lock:
            late = self._is_given
            if not late:
                self._told.append(abort)
        try:
            if late:
                abort()
            yield
        finally:
            with self._lock:
                if abort in self._told:
                    self._told.remove(abort)

    def check(self) -> None:
        """Go on only while the chains are wanted.

        Raises:
            SamplingCancelledError: They are not.
        """
        if self._is_given:
            raise SamplingCancelledError("the chains are no longer wanted")


class Cancellable(Protocol):
    """A request that may be cancelled."""

    @property
    def cancellation(self) -> Cancellation | None:
        """Where that is said, if anywhere."""
        ...


def cancellation_of(requests: Sequence[Cancellable]) -> Cancellation:
    """Return the cancellation that the requests of one call share; one that nobody gives where they have none."""
    return next((one.cancellation for one in requests if one.cancellation is not None), Cancellation())
