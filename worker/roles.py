"""What a worker process does, by the queues it reads; a role imports only what it needs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from celery import Celery

from db.session import connect
from worker.checks import Sweeps
from worker.engine_watch import EngineWatch
from worker.errors import ConfigurationError, MessageError, StoreUnavailableError
from worker.health import Ears
from worker.keeper import LeaseKeeper
from worker.messages import (
    CALIBRATE,
    DECIDE,
    GENERATE,
    GENERATE_GIVEN,
    QUEUES,
    RECONCILE,
    SEAL,
    UPKEEP,
    VERIFY,
    decode,
)
from worker.parking import Park, park_unreadable, parking_lot
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.stages.desk import Desk
from worker.store.leases import note_fault
from worker.telemetry.metrics import collect_from, stage_run
from worker.telemetry.pools import PoolCollector
from worker.telemetry.traces import make_tracer

logger = logging.getLogger(__name__)

Stage = Callable[[list[UUID]], None]
FEWEST_CHAINS = 2  # a wave is at least so large; so many tasks at once keep an engine's batch full


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What the stages of one process share."""

    desk: Desk
    app: Celery
    ears: Ears
    """Counts messages, for the health report."""

    sweeps: Sweeps
    """Told of the reconciler's, for the same."""

    park: Park
    """Keeps messages that cannot be read."""

    closing: contextlib.ExitStack
    """Closes engines and verifiers when the process ends."""

    watches: list[EngineWatch] = field(default_factory=list)
    """Of the engines that are loaded, for the health report."""


def open_workplace(app: Celery, settings: Settings, *, queues: Sequence[str], ears: Ears) -> Workplace:
    """Return the surroundings of a worker of ``queues``.

    Raises:
        ConfigurationError: No database is named.
    """
    if settings.database_url is None:
        raise ConfigurationError(
            "DATABASE_URL is missing; `merge-reasoner up` starts a database and says where"
        )
    threads = max(settings.generate_threads, settings.verify_threads)
    store = connect(settings.database_url, pool_size=threads + 2)
    keeper = LeaseKeeper(store, lease_s=settings.lease_s)
    closing = contextlib.ExitStack()
    closing.callback(store.dispose)
    closing.callback(keeper.stop)
    keeper.start()
    holder = f"{'+'.join(queues)}@{socket.gethostname()}/{os.getpid()}"
    publisher = CeleryPublisher(app, message_tasks=settings.message_tasks)
    tracer = make_tracer(os.environ, service=f"merge-reasoner {'+'.join(queues)}")
    if tracer is not None:
        closing.callback(tracer.close)
    desk = Desk(
        store=store, publisher=publisher, keeper=keeper, settings=settings, holder=holder, tracer=tracer
    )
    sweeps = Sweeps(within_s=settings.swept_within_s)
    park = parking_lot(store, who=holder)

    def park_heard(queue: str, body: object, reason: str) -> None:
        with ears.hearing():  # a worker that reads nothing but rubbish is not deaf
            park(queue, body, reason)

    park_unreadable(app, park_heard)
    return Workplace(desk=desk, app=app, ears=ears, sweeps=sweeps, park=park, closing=closing)


def _generate(place: Workplace) -> Stage:
    from worker.generation import open_engine
    from worker.instructions.reading import read_instructions
    from worker.stages.generate import generate
    from worker.stages.unfinished import Unfinished

    settings = place.desk.settings
    instructions = read_instructions(
        settings.prompts_dir
    )  # a mistake in them is told before a model is loaded
    engine = open_engine(settings, os.environ)
    # No more tasks at once than fill the batch: the first results come early, and the rest waits its turn here.
    n_tasks = max(2, engine.capabilities.concurrency // FEWEST_CHAINS)
    pool = ThreadPoolExecutor(n_tasks, thread_name_prefix="sample")
    place.closing.callback(pool.shutdown, wait=False, cancel_futures=True)
    place.closing.callback(engine.close)
    watch = EngineWatch(engine.health)
    watch.start()
    place.closing.callback(watch.stop)
    place.watches.append(watch)
    return partial(
        generate, place.desk, engine=engine, pool=pool, instructions=instructions, unfinished=Unfinished()
    )


def _generate_given(place: Workplace) -> Stage:
    from worker.stages.generate import generate_given

    return partial(generate_given, place.desk)


def _verify(place: Workplace, *, verifier: str) -> Stage:
    from worker.judging.protocol import Surroundings
    from worker.judging.table import JUDGES
    from worker.stages.verify import verify

    judge = JUDGES[verifier](Surroundings(settings=place.desk.settings, store=place.desk.store))
    place.closing.callback(judge.close)
    return partial(verify, place.desk, verifier=verifier, judge=judge.judge)


def _verify_code(place: Workplace) -> Stage:
    from verifiers.code.verifier import CodeVerifier

    collect_from(PoolCollector(CodeVerifier.pool))
    return _verify(place, verifier="code")


def _decide(place: Workplace) -> Stage:
    from worker.stages.decide import decide

    return partial(decide, place.desk)


STAGES: dict[str, Callable[[Workplace], Stage]] = {
    GENERATE: _generate,
    GENERATE_GIVEN: _generate_given,
    **{queue: partial(_verify, verifier=verifier) for verifier, queue in VERIFY.items()},
    VERIFY["code"]: _verify_code,
    DECIDE: _decide,
}
"""Each queue and how its stage is set up. A role is a set of queues; adding a stage is a line here."""


def register(place: Workplace, queues: Sequence[str]) -> None:
    """Set up the stages of ``queues`` and register them with the app under the queues' names.

    Raises:
        ConfigurationError: A queue is unknown, or a stage lacks a setting.
    """
    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise ConfigurationError(f"unknown queue {unknown[0]!r}; the queues are {', '.join(QUEUES)}")
    for queue in queues:
        if queue == RECONCILE:
            _register_reconciler(place)
        elif queue == CALIBRATE:
            _register_calibration(place)
            _register_sealing(place)
        else:
            _register_stage(place, queue, STAGES[queue](place))


def _register_stage(place: Workplace, queue: str, stage: Stage) -> None:
    desk = place.desk

    @place.app.task(name=queue)
    def run(*arguments: object, **named: object) -> None:
        try:
            ids = decode(*arguments, **named)
        except MessageError as error:
            place.park(queue, [*arguments, named] if named else list(arguments), str(error))
            return
        try:
            with place.ears.hearing(), stage_run(queue), desk.traced(queue, ids):
                stage(ids)
        except Exception as error:
            # The outermost frame: record it with its tasks, let Celery acknowledge, and let the leases run out;
            # the reconciler gives the tasks, one by one, to the next worker until they are parked.
            told: dict[str, object] = {"queue": queue, "task_ids": [str(i) for i in ids]}
            try:
                batches = note_fault(desk.store, ids, error, holder=desk.holder)
                told["batch_ids"] = sorted(str(i) for i in batches)
            except StoreUnavailableError:
                pass  # the database's own trouble is told elsewhere
            finally:
                logger.exception("stage failed", exc_info=error, extra=told)
            raise


def _register_reconciler(place: Workplace) -> None:
    from worker.broker import connected
    from worker.stages.reconcile import reconcile
    from worker.standing import QueueCollector

    collect_from(QueueCollector(place.desk.store))

    @place.app.task(name=RECONCILE)
    def sweep() -> None:
        with place.ears.hearing(), connected(place.app) as broker:
            reconcile(place.desk, broker)
        place.sweeps.ended()


def _register_calibration(place: Workplace) -> None:
    from worker.judging.protocol import Surroundings
    from worker.judging.table import Judges
    from worker.stages.calibrate import calibrate
    from worker.stages.upkeep import upkeep

    judges = Judges(Surroundings(settings=place.desk.settings, store=place.desk.store))
    place.closing.callback(judges.close)

    @place.app.task(name=CALIBRATE)
    def ring() -> None:
        with place.ears.hearing():
            calibrate(place.desk, judges)

    @place.app.task(name=UPKEEP)
    def keep_up() -> None:
        with place.ears.hearing():
            upkeep(place.desk)


def _register_sealing(place: Workplace) -> None:
    from worker.stages.seal import seal

    @place.app.task(name=SEAL)
    def ring() -> None:
        with place.ears.hearing():
            seal(place.desk)
