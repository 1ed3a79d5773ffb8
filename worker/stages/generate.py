"""The generate stage: chains for the tasks of a message, all at once, since batching is the engine's job."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from uuid import UUID

from worker.claims import verifiers_needed
from worker.deciding import thresholds_of
from worker.engines.cancellation import Cancellation
from worker.engines.protocol import Engine
from worker.errors import EngineFaultError, EngineUnavailableError, GenerationError, SamplingCancelledError
from worker.instructions.reading import DEFAULT, Instructions
from worker.messages import GENERATE, GENERATE_GIVEN
from worker.sampling import GIVEN, Sampled, given_chains, sample_task
from worker.stages.desk import Desk, patiently
from worker.store.calibrations import active_calibrations, calibration_for
from worker.store.chains import Generated, each_explanation, save_generated
from worker.store.leases import BACKOFF_S, HeldTask, Moved, fail, release
from worker.telemetry.metrics import CHAINS, TOKENS, TOKENS_SAVED

logger = logging.getLogger(__name__)

WAITING = ("queued", "generating")
LINGER_S = (
    0.02  # after the first task of a message is finished: those that finish with it share its transaction
)


def generate(
    desk: Desk,
    ids: Sequence[UUID],
    *,
    engine: Engine,
    pool: ThreadPoolExecutor,
    instructions: Instructions = DEFAULT,
) -> None:
    """Sample the chains of those of ``ids`` that wait and that nobody holds; write each as it is finished.

    A task that is cancelled meanwhile loses its lease; then its chains under way are aborted.
    """
    held = desk.claim(ids, queue=GENERATE, from_states=WAITING, to_state="generating")
    if not held:
        return
    calibrations = patiently(lambda: active_calibrations(desk.store, {task.tenant for task in held}))
    wanted = {task.id: Cancellation() for task in held}
    with desk.keeper.holding(held, on_lost=lambda task_id: wanted[task_id].give()):
        running = {}
        for task in held:
            calibration = calibration_for(
                calibrations, tenant=task.tenant, domain=task.domain, mode=task.line.mode
            )
            sampling = partial(
                sample_task,
                engine,
                str(task.id),
                task.line,
                thresholds=thresholds_of(task.line, calibration.thresholds),
                instructions=instructions,
                weights=calibration.weights,
                cancellation=wanted[task.id],
            )
            running[pool.submit(sampling)] = task
        for finished in _as_they_finish(running):
            _save(desk, [made for one in finished if (made := _made(desk, running[one], one)) is not None])


def generate_given(desk: Desk, ids: Sequence[UUID]) -> None:
    """Take up tasks that brought their chains."""
    held = desk.claim(ids, queue=GENERATE_GIVEN, from_states=WAITING, to_state="generating")
    with desk.keeper.holding(held):
        _save(
            desk, [_generated(task, Sampled(chains=given_chains(task.line), tokens_saved=0)) for task in held]
        )


def _as_they_finish(running: dict[Future[Sampled], HeldTask]) -> Iterator[set[Future[Sampled]]]:
    """Yield whatever has finished since the last time, together: one write for many when they are quick."""
    pending = set(running)
    while pending:
        wait(pending, return_when=FIRST_COMPLETED)
        finished, pending = wait(pending, timeout=LINGER_S)
        yield finished


def _made(desk: Desk, task: HeldTask, future: Future[Sampled]) -> Generated | None:
    try:
        return _generated(task, future.result())
    except SamplingCancelledError:
        logger.info("chains no longer wanted", extra={"task_id": str(task.id)})
    except EngineUnavailableError as error:
        # Not the task's fault, so it is no delivery: it waits until the engine is back, however long that takes.
        logger.warning("engine away", extra={"task_id": str(task.id), "error": str(error)})
        _release(desk, task, error, counts=False)
    except EngineFaultError as error:
        # It may be this worker's engine alone, so the task is given away; after some deliveries it is parked.
        logger.error("engine at fault", extra={"task_id": str(task.id), "error": str(error)})  # noqa: TRY400 - no trace
        _release(desk, task, error, counts=True)
    except GenerationError as error:
        logger.warning("generation refused", extra={"task_id": str(task.id), "error": str(error)})
        _fail(desk, task, error)
    return None


def _release(desk: Desk, task: HeldTask, error: GenerationError, *, counts: bool) -> None:
    """Give a task back patiently: the chains of its neighbours are still to be written by the same stage."""
    patiently(
        lambda: release(desk.store, [task], error, state="generating", counts=counts, delay_s=BACKOFF_S)
    )


def _fail(desk: Desk, task: HeldTask, error: GenerationError) -> None:
    patiently(lambda: fail(desk.store, task, error, from_state="generating", who=desk.holder))


def _generated(task: HeldTask, sampled: Sampled) -> Generated:
    return Generated(
        task=task,
        chains=sampled.chains,
        verifiers=verifiers_needed(task.line, [one.answer for one in each_explanation(sampled.chains)]),
        tokens_saved=sampled.tokens_saved,
    )


def _save(desk: Desk, generated: Sequence[Generated]) -> None:
    if not generated:
        return
    moved = patiently(lambda: save_generated(desk.store, generated, who=desk.holder))
    by_id = {m.id: m for m in moved}
    _count([one for one in generated if one.task.id in by_id])
    waiting: dict[str, list[Moved]] = defaultdict(list)
    for one in generated:
        for verifier in one.verifiers:
            if one.task.id in by_id:
                waiting[verifier].append(by_id[one.task.id])
    desk.publish_verify(waiting)
    desk.publish_decide(moved)


def _count(written: Sequence[Generated]) -> None:
    for one in written:
        TOKENS_SAVED.inc(one.tokens_saved)
        for chain in one.chains:
            # What a producer calls the models of its own chains is no label: there could be millions.
            model = GIVEN if chain.engine == GIVEN else chain.model
            CHAINS.labels(model, chain.finish_reason).inc()
            TOKENS.labels(model).inc(chain.n_tokens or 0)
