"""Everything on one machine: servers, schema and workers, started in order, watched, and stopped in order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.embedded import launch
from worker.embedded.services import Services
from worker.errors import ServiceError
from worker.messages import CALIBRATE, DECIDE, GENERATE, GENERATE_GIVEN, RECONCILE, VERIFY
from worker.process import BEAT
from worker.schema import bring_up_to_date
from worker.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]

ROLES: dict[str, tuple[str, ...]] = {
    "generate": (GENERATE,),
    "verify": (*VERIFY.values(), GENERATE_GIVEN),
    "control": (DECIDE, RECONCILE, CALIBRATE),
    "beat": (BEAT,),
}
"""The worker processes of one machine. On several machines each queue can have its own."""

START_TIMEOUT_S = 900.0  # a worker that dies is noticed at once; vLLM takes minutes to load a large model
STOP_TIMEOUT_S = 20.0  # above the workers' own soft shutdown
RESTART_PAUSE_S = 2.0  # a worker that dies at once must not be started in a tight loop


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker process and what it needs to be started again."""

    role: str
    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path
    restart_at: float | None = None
    """Monotonic seconds; set while it is down."""


class Supervisor:
    """Runs the whole system of one machine for the length of a ``with`` block.

    Must be used from the main thread: on Linux the children are tied to the life of the thread that starts them.
    """

    def __init__(self, settings: Settings, *, progress: Progress = lambda _: None) -> None:
        self._services = Services(
            settings.state_dir, database_url=settings.database_url, broker_url=settings.broker_url
        )
        self._given = settings
        self._progress = progress
        self._workers: list[Worker] = []

    @property
    def settings(self) -> Settings:
        """The settings with the URLs of what runs."""
        return replace(
            self._given, database_url=self._services.database_url, broker_url=self._services.broker_url
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # also Ctrl-C: what came up so far goes down again
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start servers, bring the schema up to date, start the workers and wait until they take messages.

        Raises:
            ServiceError: Something did not come up; the message names its log.
        """
        self._progress("starting Postgres and Valkey")
        self._services.start()
        self._progress("bringing the schema up to date")
        bring_up_to_date(self._services.database_url, progress=self._progress)
        for report in self._given.processes_dir.glob("*.health.json"):
            report.unlink()  # of processes that were killed with an earlier supervisor
        self._progress(f"starting the workers: {', '.join(ROLES)} (engine {self._given.engine})")
        for role in ROLES:
            self._workers.append(self._spawn(role))
        self._wait_until_ready()

    def check(self) -> None:
        """Start again whatever has died; call it every second or so."""
        for fault in self._services.faults():
            self._progress(f"server down: {fault}")
        try:
            for name in self._services.restart_dead():
                self._progress(f"started {name} again")
        except ServiceError as error:  # tried again at the next check
            self._progress(str(error))
        for i, worker in enumerate(self._workers):
            if worker.process.poll() is None:
                continue
            if worker.restart_at is None:
                logger.warning("worker died", extra={"role": worker.role, "code": worker.process.returncode})
                worker.restart_at = time.monotonic() + RESTART_PAUSE_S
            elif time.monotonic() >= worker.restart_at:
                self._workers[i] = self._spawn(worker.role)

    def stop(self) -> None:
        """Stop workers, then servers; harmless when nothing runs."""
        self._progress("stopping")
        for worker in self._workers:
            if worker.process.poll() is None:
                # Within a time, and what is held is given back; one that is not up yet knows only this.
                soft = worker.ready_file.exists()
                worker.process.send_signal(signal.SIGQUIT if soft else signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()  # its leases run out; nothing is lost
                worker.process.wait()
        self._workers.clear()
        self._services.stop()

    def _spawn(self, role: str) -> Worker:
        logs, run = self._given.state_dir / "logs", self._given.state_dir / "processes"
        logs.mkdir(parents=True, exist_ok=True)
        run.mkdir(parents=True, exist_ok=True)
        ready_file, log = run / f"{role}.ready", logs / f"{role}.log"
        ready_file.unlink(missing_ok=True)
        queues = ",".join(ROLES[role])
        command = [sys.executable, "-m", "cli.main", "worker", "--queues", queues]
        tied = [sys.executable, launch.__file__, str(os.getpid()), str(int(signal.SIGKILL)), "self", *command]
        with log.open("ab") as stream:
            process = subprocess.Popen(
                tied,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=worker_environment(self.settings, os.environ)
                | {PREFIX + "READY_FILE": str(ready_file)}
                | metrics_environment(self.settings, role),
                process_group=0,  # Ctrl-C in the terminal reaches us alone, and we stop them in order
            )
        return Worker(role=role, process=process, ready_file=ready_file, log=log)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        waiting = [worker for worker in self._workers if worker.role != "beat"]
        while waiting:
            for worker in waiting:
                if worker.process.poll() is not None:
                    raise ServiceError(f"the {worker.role} worker ended: {_last_words(worker.log)}")
            waiting = [worker for worker in waiting if not worker.ready_file.exists()]
            if waiting and time.monotonic() > deadline:
                raise ServiceError(f"the {waiting[0].role} worker is not ready; its log is {waiting[0].log}")
            time.sleep(0.1)


def metrics_environment(settings: Settings, role: str) -> dict[str, str]:
    """Return the port of a role's metrics: several workers of one machine can't share one."""
    if settings.metrics_port is None:
        return {}
    return {PREFIX + "METRICS_PORT": str(settings.metrics_port + list(ROLES).index(role))}


def worker_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with every setting in it, so that a worker sees what its supervisor sees."""
    own = {
        PREFIX + field.name.upper(): str(value)
        for field in fields(settings)
        if field.name not in {"database_url", "broker_url"}
        and (value := getattr(settings, field.name)) is not None
    }
    return {
        **environment,
        **own,
        "DATABASE_URL": settings.database_url or "",
        "BROKER_URL": settings.broker_url or "",
        # BLAS threads of many small processes fight for the same cores; the arrays here are small.
        "OPENBLAS_NUM_THREADS": environment.get("OPENBLAS_NUM_THREADS", "1"),
        # Threads of llama.cpp that spin while they wait starve everything else on a small machine (FACTS.md).
        "OMP_WAIT_POLICY": environment.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


def _last_words(log: Path, *, n_chars: int = 600) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")[-n_chars:].strip()
    return f"{text.splitlines()[-1] if text else 'without a word'} (log: {log})"
