"""The decide stage: from chains and verdicts on record to a decision on record."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from worker.deciding import CODE_VERSION, configuration_of, decide_task, models_of
from worker.stages.desk import Desk, patiently
from worker.store.calibrations import active_calibrations, calibration_for
from worker.store.chains import load_chains
from worker.store.decisions import Decided, save_decided
from worker.store.leases import HeldTask
from worker.store.verdicts import load_verdicts


def decide(desk: Desk, ids: Sequence[UUID]) -> None:
    """Decide those of ``ids`` whose verdicts are all in and that nobody holds."""
    held = desk.claim(ids, from_states=["deciding"], to_state="deciding")
    if not held:
        return
    with desk.keeper.holding(held):
        decided = patiently(lambda: _decided(desk, held))
        patiently(lambda: save_decided(desk.store, decided, who=desk.holder))


def _decided(desk: Desk, held: Sequence[HeldTask]) -> list[Decided]:
    mine = [task.id for task in held]
    chains, verdicts = load_chains(desk.store, mine), load_verdicts(desk.store, mine)
    calibrations = active_calibrations(desk.store, {task.tenant for task in held})
    decided = []
    for task in held:
        calibration = calibration_for(calibrations, tenant=task.tenant, domain=task.domain)
        sampled = [chain.as_chain() for chain in chains[task.id]]
        decided.append(
            Decided(
                task=task,
                decision=decide_task(
                    task.line,
                    sampled,
                    verdicts[task.id],
                    calibrated=calibration.thresholds,
                ),
                calibration_id=calibration.id,
                configuration=configuration_of(task.line, calibration.thresholds),
                code_version=CODE_VERSION,
                models=None if task.line.is_given else models_of(task.line, sampled),
            )
        )
    return decided
