"""How a worker process ends: warm, soft, or at once.

Celery's own soft stop always sleeps its whole time, then waits for every thread, however long its stage takes, and
leaves the leases to run out. Ours takes no more messages, ends as soon as nothing is at work, and when its time is up
gives back what is held and leaves.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from enum import IntEnum

from celery.worker import state

from worker.errors import StoreUnavailableError

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

CUT_SHORT = 1
"""The exit code of a process that ended with stages at work."""


class Haste(IntEnum):
    """How a process is ending."""

    NONE = 0
    WARM = 1
    """No more messages; what is at work is finished, however long it takes."""

    SOFT = 2
    """The same, within a time."""

    AT_ONCE = 3


class Stopping:
    """Ends the process by signals: SIGTERM or Ctrl-C is warm, SIGQUIT is soft, and each further one is a step harder.

    Args:
        soft_s: How long a soft stop waits for what is at work.
        begin: Called at the first signal.
        let_go: Gives back what is held; what then still writes is refused.
    """

    def __init__(self, *, soft_s: float, begin: Callable[[], None], let_go: Callable[[], None]) -> None:
        self._soft_s = soft_s
        self._begin = begin
        self._let_go = let_go
        self._haste = Haste.NONE
        self._leaving = threading.Event()

    def install(self) -> None:
        """Take the signals over; from the main thread."""
        remapped = os.environ.get("REMAP_SIGTERM") == "SIGQUIT"
        first = {
            signal.SIGINT: Haste.WARM,
            signal.SIGTERM: Haste.SOFT if remapped else Haste.WARM,
            signal.SIGQUIT: Haste.SOFT,
        }
        for number, least in first.items():
            signal.signal(number, lambda *_, least=least: self.hurry(least))

    def hurry(self, least: Haste) -> None:
        """Stop at least so hard, and harder than before."""
        if self._haste is Haste.NONE:
            self._begin()
            # Celery's loop looks at it; the stubs know no code.
            state.should_stop = os.EX_OK  # type: ignore[assignment]
        self._haste = max(least, Haste(min(self._haste + 1, Haste.AT_ONCE)))
        logger.warning("stopping", extra={"how": self._haste.name})
        if self._haste >= Haste.SOFT:
            wait_s = self._soft_s if self._haste is Haste.SOFT else 0.0
            threading.Thread(target=self._leave, args=(wait_s,), name="leaving", daemon=True).start()

    def _leave(self, wait_s: float) -> None:
        threading.Event().wait(wait_s)
        if self._leaving.is_set():
            return  # somebody else is at it
        self._leaving.set()
        try:
            self._let_go()
        except StoreUnavailableError as error:
            logger.warning("leases not given back, they will run out", extra={"error": str(error)})
        except Exception:  # whatever it is, the process was told to end
            logger.exception("leases not given back, they will run out")
        logger.warning("left with stages at work")
        logging.shutdown()
        # Python would wait for every thread, and the stages in them may take minutes.
        os._exit(CUT_SHORT)
