"""Stations kept ready: each lane judges one claim at a time and is replaced before it can grow old."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S
from verifiers.sandbox.protocol import Pool

MAX_CLAIMS = 500  # of one lane; what a fork leaves behind in the kernel is little, and not nothing
MAX_AGE_S = 600.0
_N_STARTING = 2  # lanes being started at once: more would only keep each other from it


class Lane(Protocol):
    """A place for one claim after another."""

    def is_fresh(self, max_claims: int) -> bool:
        """Return whether it is beyond doubt: alive, silent, young, and not used often."""
        ...

    def close(self) -> None:
        """End it and all that is in it."""
        ...


LaneT = TypeVar("LaneT", bound=Lane)
SizeT = TypeVar("SizeT", bound=Hashable)


class Lanes(Generic[SizeT, LaneT]):
    """As many lanes as are used at once; safe to use from any thread.

    Args:
        start: Starts a lane of a size; called by threads that stay for as long as lanes do.
        usual: The size that most claims need.
        max_claims: After how many claims a lane is replaced.
        max_lanes: How many there are at once, by default two for each processor; whoever comes then waits.
        n_ahead: How many of the usual size are started before anybody asks.
    """

    def __init__(
        self,
        start: Callable[[SizeT], LaneT],
        *,
        usual: SizeT,
        max_claims: int,
        max_lanes: int | None = None,
        n_ahead: int = 0,
    ) -> None:
        self.max_claims = max_claims
        self._start = start
        self._usual = usual
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._max_lanes = max_lanes or 2 * n_processors
        self._n_ahead = n_ahead
        self._idle: list[tuple[SizeT, LaneT]] = []
        self._n_used = 0
        self._ahead: deque[Future[LaneT]] = deque()
        self._forget()

    @contextlib.contextmanager
    def lane(self, size: SizeT) -> Iterator[LaneT]:
        """Give a lane to use; any error while it is used casts a doubt on it, and it is not used again.

        Raises:
            SandboxUnavailableError: None could be started.
        """
        if self._owner != os.getpid():  # lanes of the process that this one was forked from are not ours
            self._forget()
        with self._queue.turn(), self._counted():
            lane = self._take(size)
            try:
                yield lane
            except BaseException:
                self._count(broken=1)
                lane.close()
                raise
            self._count(served=1)
            if lane.is_fresh(self.max_claims):
                with self._lock:
                    self._idle.append((size, lane))
            else:
                self._later(lane.close)

    def pool(self) -> Pool:
        """Return how the lanes stand and what became of them since this process began."""
        with self._lock:
            return Pool(
                n_warm=len(self._idle) + sum(future.done() for future in self._ahead),
                n_busy=self._n_used,
                n_started=self._counts["started"],
                n_not_started=self._counts["not_started"],
                n_broken=self._counts["broken"],
                n_served=self._counts["served"],
            )

    def _count(self, **more: int) -> None:
        with self._lock:
            self._counts.update(more)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._n_used += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_used -= 1

    def close(self) -> None:
        """End the lanes that nobody uses."""
        with self._lock:
            lanes, ahead = [lane for _, lane in self._idle], self._ahead
            self._idle, self._ahead = [], deque()
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
        self._queue = Queue(self._max_lanes)
        self._idle, self._ahead, self._n_used = [], deque(), 0
        self._counts: Counter[str] = Counter()
        # Threads that stay: bubblewrap ends when the thread that started it does.
        self._starter = ThreadPoolExecutor(_N_STARTING, thread_name_prefix="sandbox-starter")

    def _take(self, size: SizeT) -> LaneT:
        found = self._take_idle(size)
        if found is None:
            ahead = self._take_ahead() if size == self._usual else None
            found = self._started(ahead or self._begin(size), size)
        with self._lock:
            while self._n_ahead > len(self._ahead):
                self._ahead.append(self._begin(self._usual))
        return found

    def _take_idle(self, size: SizeT) -> LaneT | None:
        """Return a lane of that size, if there is one; close what is stale, and one of another size for a new one."""
        found, stale = None, []
        with self._lock:
            for entry in reversed(self._idle[:]):
                if entry[0] == size:
                    self._idle.remove(entry)
                    if entry[1].is_fresh(self.max_claims):
                        found = entry[1]
                        break
                    stale.append(entry[1])
            while found is None and self._idle and len(self._idle) + self._n_used > self._max_lanes:
                stale.append(self._idle.pop(0)[1])
        for lane in stale:
            lane.close()
        return found

    def _take_ahead(self) -> Future[LaneT] | None:
        with self._lock:
            return self._ahead.popleft() if self._ahead else None

    def _begin(self, size: SizeT) -> Future[LaneT]:
        try:
            return self._starter.submit(self._start_counted, size)
        except RuntimeError as error:  # the interpreter is shutting down
            raise SandboxUnavailableError(f"no sandbox can be started: {error}") from error

    def _start_counted(self, size: SizeT) -> LaneT:
        try:
            lane = self._start(size)
        except BaseException:
            self._count(not_started=1)
            raise
        self._count(started=1)
        return lane

    def _later(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            self._starter.submit(work)
            return
        work()

    def _started(self, future: Future[LaneT], size: SizeT) -> LaneT:
        try:
            lane = future.result(4 * START_TIMEOUT_S)
        except TimeoutError as error:
            future.add_done_callback(_close_late)
            raise SandboxUnavailableError("no sandbox started in time") from error
        if lane.is_fresh(self.max_claims):
            return lane
        lane.close()  # started long ahead, and dead or old by now
        return self._begin(size).result(4 * START_TIMEOUT_S)


class Queue:
    """Lets so many in at once, and those who wait in the order in which they came."""

    def __init__(self, n_places: int) -> None:
        self._n_free = n_places
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and have it."""
        called = threading.Event()
        with self._lock:
            if self._n_free and not self._waiting:
                self._n_free -= 1
                called.set()
            else:
                self._waiting.append(called)
        try:
            called.wait()
            yield
        finally:
            self._leave(called)

    def _leave(self, called: threading.Event) -> None:
        with self._lock:
            if not called.is_set():  # interrupted while it waited
                self._waiting.remove(called)
            elif self._waiting:
                self._waiting.popleft().set()
            else:
                self._n_free += 1


def _close_late(future: Future[LaneT]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
