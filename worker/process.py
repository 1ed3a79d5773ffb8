"""A worker process: reads its settings, sets up its role and hands over to Celery."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from celery import Celery
from celery.signals import worker_ready

from db.session import connect
from worker.app import make_app
from worker.checks import check_broker, check_database, n_waiting
from worker.clock import once_only
from worker.errors import ConfigurationError
from worker.health import Check, DeafnessWatch, Ears, HealthReporter, check_ears, report_path
from worker.messages import CALIBRATE, GENERATE, RECONCILE
from worker.roles import open_workplace, register
from worker.settings import Settings
from worker.stopping import STOP_SIGNALS, Stopping
from worker.telemetry.metrics import serve

BEAT = "beat"
"""Not a queue: the process that rings for the reconciler and the nightly calibration."""

logger = logging.getLogger(__name__)

STANDARD_FIELDS = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object per record, with whatever fields the caller attached (task ids, queue, error)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def set_up_logging(level: str) -> None:
    """Write JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("celery.app.trace", "celery.worker.strategy", "celery.beat", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # a line for every message is no news


def run_worker(settings: Settings, queues: Sequence[str]) -> int:
    """Work on ``queues`` until a signal says to stop (see ``worker.stopping``); return the exit code.

    Raises:
        ConfigurationError: A URL, a queue or a stage's setting is missing or wrong.
    """
    set_up_logging(settings.log_level)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))  # nothing is at work yet; in the clock, never
    if settings.broker_url is None:
        raise ConfigurationError("BROKER_URL is missing; `merge-reasoner up` starts a broker and says where")
    if settings.database_url is None:
        raise ConfigurationError(
            "DATABASE_URL is missing; `merge-reasoner up` starts a database and says where"
        )
    app = make_app(settings.broker_url, sweep_s=settings.sweep_s)
    if list(queues) == [BEAT]:
        return _run_clock(app, settings)
    if BEAT in queues:
        raise ConfigurationError("beat is a process of its own: `merge-reasoner worker --queues beat`")
    return _run_stages(app, settings, queues)


def _run_clock(app: Celery, settings: Settings) -> int:
    with ExitStack() as closing:
        store = connect(settings.database_url or "", pool_size=1)
        closing.callback(store.dispose)
        checks = [partial(check_broker, app), partial(check_database, store)]
        reporter = HealthReporter(report_path(settings.processes_dir, BEAT), name=BEAT, checks=checks)
        reporter.start()
        closing.callback(reporter.stop)
        who = f"{BEAT}@{socket.gethostname()}/{os.getpid()}"
        scheduler = once_only(store, who=who, waiting=lambda queue: n_waiting(app, [queue]))
        # A class is as good as its name; the stubs know names only.
        app.Beat(scheduler_cls=cast("Any", scheduler), loglevel=settings.log_level).run()
    return 0


def _run_stages(app: Celery, settings: Settings, queues: Sequence[str]) -> int:
    threads = settings.generate_threads if GENERATE in queues else settings.verify_threads
    threads += RECONCILE in queues  # a sweep must not wait behind the stages
    threads += CALIBRATE in queues  # nor the stages behind a night's work
    name = "+".join(queues)
    ears, ends = Ears(threads), list[str]()
    if settings.metrics_port is not None:
        serve(settings.metrics_port, settings.metrics_host)
    with ExitStack() as closing:
        place = open_workplace(app, settings, queues=queues, ears=ears)
        closing.enter_context(place.closing)
        register(place, queues)

        def end(why: str) -> None:
            if not ends:
                logger.critical("%s for too long, ending so that a fresh process is started", why)
                ends.append(why)
                os.kill(os.getpid(), signal.SIGQUIT)

        store = connect(settings.database_url or "", pool_size=1)  # its own: the stages' may all be in use
        closing.callback(store.dispose)
        watch = DeafnessWatch(deaf_after_s=settings.deaf_after_s)
        checks: list[Check] = [
            partial(check_broker, app),
            partial(check_database, store),
            place.desk.keeper.fault,
            check_ears(watch, ears, waiting=partial(n_waiting, app, queues), on_deaf=partial(end, "deaf")),
            *(partial(one.check, on_lost=partial(end, "without an engine")) for one in place.watches),
        ]
        if RECONCILE in queues:
            checks.append(place.sweeps.fault)
        reporter = HealthReporter(
            report_path(settings.processes_dir, name),
            name=name,
            checks=checks,
            waits=[one.waits for one in place.watches],
            ears=ears,
        )
        reporter.start()
        closing.callback(reporter.stop)
        stopping = Stopping(
            soft_s=settings.soft_stop_s,
            begin=ears.stop,
            let_go=partial(place.desk.keeper.let_go, who=place.desk.holder),
        )

        def ready(**_: object) -> None:
            if settings.ready_file is not None:
                settings.ready_file.touch()

        worker_ready.connect(ready, weak=False)

        class Worker(app.Worker):  # type: ignore[name-defined, misc]  # a property that makes a class
            def install_platform_tweaks(self, _worker: object) -> None:
                stopping.install()  # instead of Celery's own handlers, and before it listens

        # Threads: an engine batches what they hand in, verifiers run children of their own, and a prefork child
        # could start neither (FACTS.md).
        worker = Worker(
            pool_cls="threads",
            concurrency=threads,
            queues=list(queues),
            hostname=f"{name}@{socket.gethostname()}",
            loglevel=settings.log_level,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        return 1 if ends else int(worker.exitcode or 0)
