"""The verify stages: claims in, verdicts out; the last verdict to arrive sends the task on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from verifiers.errors import VerifierError
from worker.stages.desk import Desk, patiently
from worker.store.chains import load_chains
from worker.store.leases import (
    BACKOFF_S,
    HeldTask,
    claim_verifications,
    fail_verification,
    release_verifications,
)
from worker.store.verdicts import Judged, save_verified
from worker.submission.lines import TaskLine

logger = logging.getLogger(__name__)

Judge = Callable[[TaskLine, Sequence[str | None]], list[Judged]]
"""Judges every claim that a task's answers give rise to."""


def verify(desk: Desk, ids: Sequence[UUID], *, verifier: str, judge: Judge) -> None:
    """Judge those of ``ids`` that wait for ``verifier`` and whose turn nobody holds."""
    held = claim_verifications(
        desk.store,
        ids,
        verifier=verifier,
        holder=desk.holder,
        lease_s=desk.settings.lease_s,
        max_deliveries=desk.settings.max_deliveries,
    )
    with desk.keeper.holding(held, verifier=verifier):
        chains = load_chains(desk.store, [task.id for task in held])
        for task in held:
            _judge_one(desk, task, [c.answer for c in chains[task.id]], verifier=verifier, judge=judge)


def _judge_one(
    desk: Desk, task: HeldTask, answers: Sequence[str | None], *, verifier: str, judge: Judge
) -> None:
    try:
        judged = judge(task.line, answers)
    except VerifierError as error:
        _give_back(desk, task, error, verifier=verifier)
        return
    moved = patiently(lambda: save_verified(desk.store, [(task, judged)], verifier=verifier, who=desk.holder))
    desk.publish_decide(moved)


def _give_back(desk: Desk, task: HeldTask, error: VerifierError, *, verifier: str) -> None:
    """Try later, or fail the task when it was tried often enough: a verifier that broke never says "no"."""
    logger.warning(
        "verifier broke",
        extra={"task_id": str(task.id), "verifier": verifier, "attempt": task.attempt, "error": str(error)},
    )
    if task.attempt >= desk.settings.max_deliveries:
        fail_verification(desk.store, task, error, verifier=verifier, who=desk.holder)
        return
    release_verifications(desk.store, [task], verifier=verifier, delay_s=BACKOFF_S * 2**task.attempt)
