"""Who may run now: some claims together, or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Bounds how many claims run at once, and lets one of them run alone."""

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._changed = threading.Condition()
        self._n_running = 0
        self._n_wanting_alone = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run beside at most ``parallel - 1`` others; those who want to be alone go first."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_running < self._parallel and not self._n_wanting_alone)
            self._n_running += 1
        yield from self._until_done(1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run while nothing else of this verifier runs."""
        with self._changed:
            self._n_wanting_alone += 1
            try:
                self._changed.wait_for(lambda: self._n_running == 0)
            finally:
                self._n_wanting_alone -= 1
            self._n_running += self._parallel
        yield from self._until_done(self._parallel)

    def _until_done(self, n_places: int) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._n_running -= n_places
                self._changed.notify_all()
