"""Pairs of stations kept ready: each lane judges one claim at a time and is replaced before it can grow old."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S

MAX_CLAIMS = 500  # of one lane; what a fork leaves behind in the kernel is little, and not nothing
MAX_AGE_S = 600.0
_N_STARTING = 2  # lanes being started at once: more would only keep each other from it


class AnyStation(Protocol):
    """A place that forks one confined process after another."""

    began: float
    n_claims: int

    def idle(self) -> bool:
        """Return whether it is alive and has nothing more to say about an earlier claim."""
        ...

    def close(self) -> None:
        """End it and all that is in it."""
        ...


class Lane:
    """A station for judges and another for the judged."""

    def __init__(self, judge: AnyStation, judged: AnyStation) -> None:
        self.judge = judge
        self.judged = judged

    def fresh(self, max_claims: int) -> bool:
        """Return whether it is beyond doubt: alive, silent, young, and not used often."""
        return all(
            station.idle() and station.n_claims < max_claims and time.monotonic() - station.began < MAX_AGE_S
            for station in (self.judge, self.judged)
        )

    def close(self) -> None:
        """End both stations."""
        self.judge.close()
        self.judged.close()


class Lanes:
    """As many lanes as are used at once; safe to use from any thread.

    Args:
        start: Starts a lane; called by threads that stay for as long as lanes do.
        max_claims: After how many claims a lane is replaced.
        max_lanes: How many are in use at once, by default two for each processor; whoever comes then waits.
        n_ahead: How many are started before anybody asks.
    """

    def __init__(
        self, start: Callable[[], Lane], *, max_claims: int, max_lanes: int | None = None, n_ahead: int = 0
    ) -> None:
        self.max_claims = max_claims
        self._start = start
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._max_lanes = max_lanes or 2 * n_processors
        self._n_ahead = n_ahead
        self._idle: list[Lane] = []
        self._ahead: list[Future[Lane]] = []
        self._forget()

    @contextlib.contextmanager
    def lane(self) -> Iterator[Lane]:
        """Give a lane to use; any error while it is used casts a doubt on it, and it is not used again.

        Raises:
            SandboxUnavailableError: None could be started.
        """
        if self._owner != os.getpid():  # lanes of the process that this one was forked from are not ours
            self._forget()
        with self._places:
            lane = self._take()
            try:
                yield lane
            except BaseException:
                lane.close()
                raise
            if lane.fresh(self.max_claims):
                with self._lock:
                    self._idle.append(lane)
            else:
                self._later(lane.close)

    def close(self) -> None:
        """End the lanes that nobody uses."""
        with self._lock:
            lanes, ahead = self._idle, self._ahead
            self._idle, self._ahead = [], []
        for future in ahead:
            with contextlib.suppress(SandboxUnavailableError):
                lanes.append(future.result(4 * START_TIMEOUT_S))
        for lane in lanes:
            lane.close()
        self._starter.shutdown()
        self._forget()

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(self._max_lanes)
        self._idle, self._ahead = [], []
        # Threads that stay: bubblewrap ends when the thread that started it does.
        self._starter = ThreadPoolExecutor(_N_STARTING, thread_name_prefix="sandbox-starter")

    def _take(self) -> Lane:
        found = self._take_idle()
        if found is None:
            found = self._started(self._take_ahead() or self._begin())
        while self._n_ahead > len(self._ahead):
            self._ahead.append(self._begin())
        return found

    def _take_idle(self) -> Lane | None:
        while True:
            with self._lock:
                lane = self._idle.pop() if self._idle else None
            if lane is None or lane.fresh(self.max_claims):
                return lane
            lane.close()

    def _take_ahead(self) -> Future[Lane] | None:
        with self._lock:
            return self._ahead.pop(0) if self._ahead else None

    def _begin(self) -> Future[Lane]:
        try:
            return self._starter.submit(self._start)
        except RuntimeError as error:  # the interpreter is shutting down
            raise SandboxUnavailableError(f"no sandbox can be started: {error}") from error

    def _later(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            self._starter.submit(work)
            return
        work()

    def _started(self, future: Future[Lane]) -> Lane:
        try:
            lane = future.result(4 * START_TIMEOUT_S)
        except TimeoutError as error:
            future.add_done_callback(_close_late)
            raise SandboxUnavailableError("no sandbox started in time") from error
        if lane.fresh(self.max_claims):
            return lane
        lane.close()  # started long ahead, and dead or old by now
        return self._begin().result(4 * START_TIMEOUT_S)


def _close_late(future: Future[Lane]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
