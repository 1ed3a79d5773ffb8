"""The verify stages: claims in, verdicts out; the last verdict to arrive sends the task on."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from verifiers.errors import VerifierError
from worker.judging.protocol import Said
from worker.messages import VERIFY
from worker.stages.desk import Desk, count_redeliveries, patiently
from worker.store.chains import each_explanation, load_chains
from worker.store.leases import (
    BACKOFF_S,
    HeldTask,
    claim_verifications,
    fail_verification,
    release_verifications,
)
from worker.store.verdicts import Judged, save_verified
from worker.submission.lines import TaskLine
from worker.telemetry.metrics import SANDBOX_LIMITS, VERDICT_SECONDS, VERDICTS

logger = logging.getLogger(__name__)

LINGER_S = 0.1  # verdicts that come quickly share a transaction; a slow one waits for nobody


class Judge(Protocol):
    """Judges every claim of one kind that a task's chains give rise to."""

    def __call__(self, line: TaskLine, said: Sequence[Said], *, tenant: str) -> list[Judged]:
        """See ``worker.judging.protocol.Judge``."""
        ...


def verify(desk: Desk, ids: Sequence[UUID], *, verifier: str, judge: Judge) -> None:
    """Judge those of ``ids`` that wait for ``verifier`` and whose turn nobody holds."""
    held = patiently(
        lambda: claim_verifications(
            desk.store,
            ids,
            verifier=verifier,
            holder=desk.holder,
            lease_s=desk.settings.lease_s,
            max_deliveries=desk.settings.max_deliveries,
        )
    )
    count_redeliveries(VERIFY[verifier], held)
    with desk.keeper.holding(held, verifier=verifier):
        chains = patiently(lambda: load_chains(desk.store, [task.id for task in held]))
        ready: list[tuple[HeldTask, list[Judged]]] = []
        since = time.monotonic()
        for task in held:
            judged = _judged(desk, task, each_explanation(chains[task.id]), verifier=verifier, judge=judge)
            if judged is not None:
                ready.append((task, judged))
            if time.monotonic() - since > LINGER_S:
                _save(desk, ready, verifier=verifier)
                ready, since = [], time.monotonic()
        _save(desk, ready, verifier=verifier)


def _judged(
    desk: Desk, task: HeldTask, said: Sequence[Said], *, verifier: str, judge: Judge
) -> list[Judged] | None:
    try:
        return judge(task.line, said, tenant=task.tenant)
    except VerifierError as error:
        _give_back(desk, task, error, verifier=verifier)
        return None


def _save(desk: Desk, ready: Sequence[tuple[HeldTask, Sequence[Judged]]], *, verifier: str) -> None:
    if ready:
        moved = patiently(lambda: save_verified(desk.store, ready, verifier=verifier, who=desk.holder))
        desk.publish_decide(moved)
        _count([one for _, judged in ready for one in judged])


def _give_back(desk: Desk, task: HeldTask, error: VerifierError, *, verifier: str) -> None:
    """Try later, or fail the task when it was tried often enough: a verifier that broke never says "no"."""
    logger.warning(
        "verifier broke",
        extra={
            **task.ids,
            "verifier": verifier,
            "delivery": task.deliveries,
            "error": str(error),
        },
    )
    if task.deliveries >= desk.settings.max_deliveries:
        patiently(lambda: fail_verification(desk.store, task, error, verifier=verifier, who=desk.holder))
        return
    delay_s = BACKOFF_S * 2**task.deliveries
    patiently(lambda: release_verifications(desk.store, [task], verifier=verifier, delay_s=delay_s))


def _count(judged: Sequence[Judged]) -> None:
    for verdict in (one.verdict for one in judged):
        VERDICTS.labels(verdict.verifier, verdict.outcome.value).inc()
        VERDICT_SECONDS.labels(verdict.verifier).observe(verdict.elapsed_s)
        sandbox, limit = verdict.evidence.get("sandbox"), verdict.evidence.get("limit_hit")
        if sandbox and limit:
            SANDBOX_LIMITS.labels(sandbox["kind"], limit).inc()
