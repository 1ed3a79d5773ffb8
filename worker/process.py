"""A worker process: reads its settings, sets up its role and hands over to Celery."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from celery.signals import worker_ready

from worker.app import make_app
from worker.errors import ConfigurationError
from worker.messages import CALIBRATE, GENERATE, RECONCILE
from worker.roles import open_workplace, register
from worker.settings import Settings

BEAT = "beat"
"""Not a queue: the process that rings for the reconciler and the nightly calibration."""

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


def run_worker(settings: Settings, queues: Sequence[str]) -> None:
    """Work on ``queues`` until SIGTERM (finish what runs) or SIGINT.

    Raises:
        ConfigurationError: A URL, a queue or a stage's setting is missing or wrong.
    """
    set_up_logging(settings.log_level)
    if settings.broker_url is None:
        raise ConfigurationError("BROKER_URL is missing; `merge-reasoner up` starts a broker and says where")
    app = make_app(settings.broker_url, sweep_s=settings.sweep_s)
    if list(queues) == [BEAT]:
        app.Beat(scheduler_cls="celery.beat:Scheduler", loglevel=settings.log_level).run()
        return
    if BEAT in queues:
        raise ConfigurationError("beat is a process of its own: `merge-reasoner worker --queues beat`")
    if settings.ready_file is not None:
        ready = settings.ready_file
        worker_ready.connect(lambda **_: ready.touch(), weak=False)
    place = open_workplace(app, settings, queues=queues)
    with place.closing:
        register(place, queues)
        threads = settings.generate_threads if GENERATE in queues else settings.verify_threads
        threads += RECONCILE in queues  # a sweep must not wait behind the stages
        threads += CALIBRATE in queues  # nor the stages behind a night's work
        # Threads: an engine batches what they hand in, verifiers run children of their own, and a prefork child
        # could start neither (FACTS.md). The pool is chosen before Celery imports anything else.
        app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={threads}",
                f"--queues={','.join(queues)}",
                f"--hostname={'+'.join(queues)}@%h",
                f"--loglevel={settings.log_level}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )
