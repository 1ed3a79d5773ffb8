"""Pairs of stations kept ready: each lane judges one claim at a time and is replaced before it can grow old."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S, Builder
from verifiers.sandbox.protocol import Limits
from verifiers.sandbox.station import Station

MAX_CLAIMS = 500  # of one lane; what a fork leaves behind in the kernel is little, and not nothing
MAX_AGE_S = 600.0


class Lane:
    """A station for judges and another for the judged."""

    def __init__(self, builder: Builder, limits: Limits) -> None:
        with contextlib.ExitStack() as stack:
            self.judge = Station(builder, "judge", limits)
            stack.callback(self.judge.close)
            self.judged = Station(builder, "judged", limits)
            stack.pop_all()

    @property
    def fresh(self) -> bool:
        """Whether it is beyond doubt: alive, silent, young, and not used often."""
        return all(
            station.idle() and station.n_claims < MAX_CLAIMS and time.monotonic() - station.began < MAX_AGE_S
            for station in (self.judge, self.judged)
        )

    def close(self) -> None:
        """End both stations."""
        self.judge.close()
        self.judged.close()


class Lanes:
    """As many lanes as are used at once; safe to use from any thread."""

    def __init__(self, builder: Builder, limits: Limits) -> None:
        self.limits = limits
        self._builder = builder
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._owner = 0
        self._starter: ThreadPoolExecutor | None = None

    @contextlib.contextmanager
    def lane(self) -> Iterator[Lane]:
        """Give a lane to use; any error while it is used casts a doubt on it, and it is not used again.

        Raises:
            SandboxUnavailableError: None could be started.
        """
        lane = self._take()
        try:
            yield lane
        except BaseException:
            lane.close()
            raise
        if lane.fresh:
            with self._lock:
                self._idle.append(lane)
        else:
            lane.close()

    def close(self) -> None:
        """End the lanes that nobody uses."""
        with self._lock:
            lanes, self._idle = self._idle, []
            starter, self._starter, self._owner = self._starter, None, 0
        for lane in lanes:
            lane.close()
        if starter is not None:
            starter.shutdown()

    def _take(self) -> Lane:
        stale: list[Lane] = []
        with self._lock:
            if self._owner != os.getpid():  # lanes of the process that this one was forked from are not ours
                self._idle, self._owner = [], os.getpid()
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")
            starter = self._starter
            found: Lane | None = None
            while self._idle and found is None:
                lane = self._idle.pop()
                if lane.fresh:
                    found = lane
                else:
                    stale.append(lane)
        for lane in stale:
            lane.close()
        if found is not None:
            return found
        assert starter is not None  # noqa: S101 - made above
        # By a thread that stays: bubblewrap ends when the thread that started it does.
        try:
            return starter.submit(Lane, self._builder, self.limits).result(4 * START_TIMEOUT_S)
        except (TimeoutError, RuntimeError) as error:  # RuntimeError: the interpreter is shutting down
            raise SandboxUnavailableError(f"no sandbox could be started: {error}") from error
