"""How many requests an endpoint is sent at once: fewer when it says that it has too many, more when it copes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.errors import EngineUnavailableError

PATIENCE_S = 60.0
"""The longest pause that a request waits out here; a longer one is told to whoever asks, to wait elsewhere."""

SLOW = 32.0
"""How many times slower the limit grows from where the endpoint had too many the last time."""

SPREAD_S = 0.25  # of a pause's length: several workers that were told the same must not come back as one


class Window:
    """Lets at most ``limit`` holders in, and none during a pause; used within one event loop.

    The limit follows TCP's rule: halved by an overload, raised by one after as many successes as it has places, and
    more slowly where it was too much before. The refusals of one burst are one overload: of those that were let in
    before the limit was halved the others change nothing.

    Args:
        most: The limit at first, and its upper bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._too_many = most + 1
        self._n_inside = 0
        self._n_bursts = 0
        self._opens_at = 0.0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Holders that may be inside at once; at least one."""
        return max(1, int(self._limit))

    @property
    def pause_s(self) -> float:
        """How long nobody is let in from now on."""
        return max(0.0, self._opens_at - time.monotonic())

    def shrink(self, ticket: int) -> None:
        """Halve the limit: the endpoint refused the holder of ``ticket`` since it has too many."""
        if ticket == self._n_bursts:
            self._n_bursts += 1
            self._too_many = max(2, self.limit)
            self._limit = max(1.0, self._limit / 2)

    def grow(self) -> None:
        """Raise the limit a little: a request was answered."""
        step = 1.0 / self._limit
        if self.limit > self._too_many:
            self._too_many = self._most + 1  # the endpoint has more room than it had
        if self._limit + step >= self._too_many:
            step /= SLOW
        self._limit = min(float(self._most), self._limit + step)

    def pause(self, pause_s: float) -> None:
        """Let nobody in for so long; an earlier, longer pause stands."""
        self._opens_at = max(self._opens_at, time.monotonic() + pause_s)

    def require_open(self) -> None:
        """Go on only if the pause, if there is one, is short enough to be waited out.

        Raises:
            EngineUnavailableError: It is not; says how long it is.
        """
        if (pause_s := self.pause_s) > PATIENCE_S:
            raise EngineUnavailableError(
                f"the endpoint asked not to be asked again for {pause_s:.0f} s", retry_after_s=pause_s
            )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[int]:
        """Be inside for the block, which is given its ticket.

        Raises:
            EngineUnavailableError: There is, or begins meanwhile, a pause that is too long to wait for.
        """
        ticket = await self._enter()
        try:
            yield ticket
        finally:
            async with self._changed:
                self._n_inside -= 1
                self._changed.notify_all()

    async def _enter(self) -> int:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._n_inside < self.limit)
                self.require_open()
                if (pause_s := self.pause_s) == 0.0:
                    self._n_inside += 1
                    return self._n_bursts
            await asyncio.sleep(pause_s * random.uniform(1.0, 1.0 + SPREAD_S))  # noqa: S311 - no secret
