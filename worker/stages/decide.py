"""The decide stage: from chains and verdicts on record to a decision on record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

from worker.deciding import (
    CODE_VERSION,
    METHOD_VERSION,
    configuration_of,
    decide_task,
    inputs_of,
    keys_of,
    models_of,
    weights_for,
)
from worker.messages import DECIDE
from worker.stages.desk import Desk, patiently
from worker.store.calibrations import active_calibrations, calibration_for
from worker.store.chains import each_explanation, load_chains
from worker.store.decisions import Decided, save_decided
from worker.store.leases import HeldTask, Moved
from worker.store.verdicts import load_verdicts
from worker.telemetry.metrics import DECISIONS, TASK_SECONDS
from worker.telemetry.traces import NS, submitted_ns


def decide(desk: Desk, ids: Sequence[UUID]) -> None:
    """Decide those of ``ids`` whose verdicts are all in and that nobody holds."""
    held = desk.claim(ids, queue=DECIDE, from_states=["deciding"], to_state="deciding")
    if not held:
        return
    with desk.keeper.holding(held):
        decided = patiently(lambda: _decided(desk, held))
        moved = patiently(lambda: save_decided(desk.store, decided, who=desk.holder))
    _tell(desk, decided, moved)


def _decided(desk: Desk, held: Sequence[HeldTask]) -> list[Decided]:
    mine = [task.id for task in held]
    chains, verdicts = load_chains(desk.store, mine), load_verdicts(desk.store, mine)
    calibrations = active_calibrations(desk.store, {task.tenant for task in held})
    decided = []
    for task in held:
        calibration = calibration_for(
            calibrations, tenant=task.tenant, domain=task.domain, mode=task.line.mode
        )
        sampled = [chain.as_chain() for chain in each_explanation(chains[task.id])]
        weights = weights_for(sampled, calibration.weights)
        decided.append(
            Decided(
                task=task,
                decision=decide_task(
                    task.line,
                    sampled,
                    verdicts[task.id],
                    calibrated=calibration.thresholds,
                    fitted=weights.fitted,
                    model_weights=weights.model_weights,
                ),
                calibration_id=calibration.id,
                configuration=configuration_of(task.line, calibration.thresholds, weights),
                code_version=CODE_VERSION,
                method_version=METHOD_VERSION,
                inputs=inputs_of((chain.index for chain in sampled), keys_of(verdicts[task.id])),
                models=None if task.line.is_given else models_of(task.line, sampled),
            )
        )
    return decided


def _tell(desk: Desk, decided: Sequence[Decided], moved: Sequence[Moved]) -> None:
    states = {m.id: m.to_state for m in moved}
    for one in decided:
        state = states.get(one.task.id)
        if state is None:
            continue
        DECISIONS.labels(state).inc()
        TASK_SECONDS.observe(max(0.0, (time.time_ns() - submitted_ns(one.task.id)) / NS))
        if desk.tracer is not None:
            attributes: dict[str, str | float | bool] = {
                "task.kind": one.task.line.kind,
                "task.domain": one.task.domain,
                "tenant": one.task.tenant,
                "state": state,
                "vote_margin": one.decision.vote_margin,
                "calibration": str(one.calibration_id),
            }
            desk.tracer.decided(one.task.id, attributes)
