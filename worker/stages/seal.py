"""Sealing by the clock: rung for often, done when decisions have waited long enough."""

from __future__ import annotations

import logging

from worker.errors import SealBusyError
from worker.seals.sealing import is_due, seal_due
from worker.stages.desk import Desk

logger = logging.getLogger(__name__)


def seal(desk: Desk) -> int:
    """Seal what is due, if the last seal is old enough; return how many seals were made.

    Due is asked of the record, so what was missed while nothing ran is caught up with.
    """
    if not is_due(desk.store, every_s=desk.settings.seal_every_s):
        return 0
    n_seals = 0
    try:
        for one in seal_due(desk.store, who=desk.holder):
            n_seals += 1
            logger.info(
                "sealed", extra={"seal": one.number, "entries": one.n_entries, "hash": one.hash.hex()}
            )
    except SealBusyError:
        logger.info("another process is sealing")
    return n_seals
