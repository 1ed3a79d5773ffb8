"""The nightly calibration: rung for often, done once a day for each tenant."""

from __future__ import annotations

import logging

from worker.calibrating import run_night
from worker.errors import CalibrationBusyError
from worker.judging.table import Judges
from worker.plans import plan_of
from worker.stages.desk import Desk
from worker.store.nights import tenants_due

logger = logging.getLogger(__name__)

OFF = "off"


def calibrate(desk: Desk, judges: Judges) -> int:
    """Run the night of every tenant whose time has come; return how many.

    Due is asked of the record and not of a clock that ticks here, so a night that passed while nothing ran is caught
    up with, and two that ring at once make one run.
    """
    if desk.settings.calibrate_at == OFF:
        return 0
    n_done, due_at = 0, desk.settings.calibrate_at
    for tenant in tenants_due(desk.store, at=due_at):
        try:
            night = run_night(
                desk.store, judges, tenant=tenant, plan=plan_of(desk.settings), who=desk.holder, due_at=due_at
            )
        except CalibrationBusyError:
            continue
        n_done += 1
        in_force = sum(not one.why for one in night.calibrations)
        for domain, told in night.counts["contradicted"].items():
            logger.warning(
                "in force and contradicted", extra={"tenant": tenant, "domain": domain, "told": told}
            )
        logger.info("calibrated", extra={"tenant": tenant, "in_force": in_force, **night.counts})
    return n_done
