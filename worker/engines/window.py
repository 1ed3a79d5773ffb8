"""How many requests an endpoint is sent at once: fewer when it says that it has too many, more when it copes."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Window:
    """Lets at most ``limit`` holders in; used within one event loop.

    The limit follows TCP's rule: halved by an overload, raised by one after as many successes as it has places.

    Args:
        most: The limit at first, and its upper bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._n_inside = 0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Holders that may be inside at once; at least one."""
        return max(1, int(self._limit))

    def shrink(self) -> None:
        """Halve the limit: the endpoint is overloaded."""
        self._limit = max(1.0, self._limit / 2)

    def grow(self) -> None:
        """Raise the limit a little: a request was answered."""
        self._limit = min(float(self._most), self._limit + 1.0 / self._limit)

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_inside < self.limit)
            self._n_inside += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._changed:
            self._n_inside -= 1
            self._changed.notify_all()
