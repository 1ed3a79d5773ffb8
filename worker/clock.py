"""The clock: Celery's beat, made to ring once even when two of them run.

Each job has a row with the time of its last run, and only who moves that time on may send the job. So a second clock
is a warm spare that needs no election, a clock that stood still cannot ring twice, and what was missed while none ran
is made up for by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule

from worker.errors import StoreUnavailableError
from worker.store.clock import claim_run
from worker.store.transactions import Store

logger = logging.getLogger(__name__)

SHARE_OF_PERIOD = 0.9
"""Two runs are at least so far apart: clocks of two machines tick out of step, and a timer may be a little early."""

MAX_WAITING = 10  # messages of the clock's in one queue

OTHER_GAP_S = 3600.0  # for schedules by the calendar, which are daily or rarer here


def once_only(store: Store, *, who: str, waiting: Callable[[str], int]) -> type[Scheduler]:
    """Return the scheduler of a clock that asks ``store`` before it rings.

    Args:
        store: Where the runs are claimed.
        who: This clock.
        waiting: How many messages wait in a queue.
    """

    class OnceScheduler(Scheduler):
        def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ANN401 (Celery's signature)
            if waiting(str((entry.options or {}).get("queue", ""))) >= MAX_WAITING:
                return  # nobody hears: ringing on would only fill the broker
            try:
                is_ours = claim_run(store, str(entry.name), gap_s=gap_of(entry.schedule), who=who)
            except StoreUnavailableError as error:
                logger.warning("database away, the clock is silent", extra={"error": str(error)})
                return
            if is_ours:
                super().apply_entry(entry, producer=producer)

    return OnceScheduler


def gap_of(when: object) -> float:
    """Return the least number of seconds between two runs of a job of this schedule."""
    period = getattr(when, "run_every", None) if isinstance(when, schedule) else None
    return OTHER_GAP_S if period is None else SHARE_OF_PERIOD * float(period.total_seconds())
