"""The decide stage: from chains and verdicts on record to a decision on record."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from worker.deciding import CODE_VERSION, configuration_of, decide_task
from worker.stages.desk import Desk, patiently
from worker.store.calibrations import active_calibrations, calibration_for
from worker.store.chains import load_chains
from worker.store.decisions import Decided, save_decided
from worker.store.leases import claim_tasks
from worker.store.verdicts import load_verdicts


def decide(desk: Desk, ids: Sequence[UUID]) -> None:
    """Decide those of ``ids`` whose verdicts are all in and that nobody holds."""
    held = claim_tasks(
        desk.store,
        ids,
        from_states=["deciding"],
        to_state="deciding",
        holder=desk.holder,
        lease_s=desk.settings.lease_s,
        max_deliveries=desk.settings.max_deliveries,
    )
    if not held:
        return
    with desk.keeper.holding(held):
        mine = [task.id for task in held]
        chains, verdicts = load_chains(desk.store, mine), load_verdicts(desk.store, mine)
        calibrations = active_calibrations(desk.store, {task.tenant for task in held})
        decided = []
        for task in held:
            calibration = calibration_for(calibrations, tenant=task.tenant, domain=task.domain)
            decided.append(
                Decided(
                    task=task,
                    decision=decide_task(
                        task.line,
                        [chain.as_chain() for chain in chains[task.id]],
                        verdicts[task.id],
                        calibrated=calibration.thresholds,
                    ),
                    calibration_id=calibration.id,
                    configuration=configuration_of(task.line, calibration.thresholds),
                    code_version=CODE_VERSION,
                )
            )
        patiently(lambda: save_decided(desk.store, decided, who=desk.holder))
