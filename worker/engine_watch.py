"""What a generation worker's health report says of its engine."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from worker.engines.protocol import Health

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0  # an endpoint is asked over the network, and may count or bill what it is asked
LOST_AFTER_S = 60.0  # the next request may start a dead engine again, and mostly does


class EngineWatch:
    """Looks after an engine from a thread of its own, since an endpoint that is away may take seconds to say so.

    An engine that cannot answer now is waited for, and its tasks with it: a fresh process could do no more. One that is
    lost for good is a fault of this process, and after twice the time that is tolerated the process is ended.

    Args:
        ask: The engine's health.
        lost_after_s: How long it may be lost before it counts.
    """

    def __init__(self, ask: Callable[[], Health], *, lost_after_s: float = LOST_AFTER_S) -> None:
        self._ask = ask
        self._lost_after_s = lost_after_s
        self._last = Health(ok=True)
        self._lost_since_s: float | None = None
        self._lost_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self, *, now_s: float) -> None:
        """Ask once."""
        try:
            self._last = self._ask()
        except Exception as error:  # it must not, and a report without it would be worse
            logger.exception("the engine cannot tell how it is")
            self._last = Health(ok=False, detail=f"it cannot tell how it is: {type(error).__name__}: {error}")
        if not self._last.lost:
            self._lost_since_s = None
        elif self._lost_since_s is None:
            self._lost_since_s = now_s
        self._lost_s = 0.0 if self._lost_since_s is None else now_s - self._lost_since_s

    def waits(self) -> str:
        """Return what its tasks wait for, or an empty string."""
        detail = self._last.detail or ("" if self._last.ok else "it does not answer")
        return f"waits for its engine: {detail}" if detail and not self.fault() else ""

    def fault(self) -> str:
        """Return what is wrong for good, or an empty string."""
        return f"the engine is lost: {self._last.detail}" if self._lost_s >= self._lost_after_s else ""

    def check(self, *, on_lost: Callable[[], None]) -> str:
        """Return ``fault``; ``on_lost`` is called when it has lasted twice as long as is tolerated."""
        if self._lost_s >= 2 * self._lost_after_s:
            on_lost()
        return self.fault()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look(now_s=time.monotonic())
            self._stop.wait(LOOK_EVERY_S)
