"""Commands that run things: up, down, worker."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, TextIO

import typer

from cli.connection import current_settings, open_store
from cli.console import Exit, JsonFlag, err, out, plain, print_json, tell, told
from cli.models import ensure_model
from worker.embedded.directory import StateDirectory
from worker.errors import ConfigurationError, ServiceError
from worker.generation import loads_a_file
from worker.health import read_reports
from worker.process import run_worker
from worker.schema import bring_up_to_date
from worker.settings import Settings
from worker.store.transactions import statements
from worker.supervisor import Supervisor

UP_TIMEOUT_S = 240.0
DOWN_TIMEOUT_S = 60.0
LOCK_PATIENCE_S = 1.0  # someone who only looks whether it is locked holds it for a moment
STARTING = "starting"
"""Follows the process id in its file until the system is ready; `down` may stop it already."""


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop everything on Ctrl-C.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Start Postgres, Valkey, the schema and the workers of this machine; `down` stops them.

    DATABASE_URL and BROKER_URL name servers of your own, which are then used instead. The engine is chosen by
    MERGEREASONER_ENGINE (llamacpp, transformers, vllm, openai, replay) and MERGEREASONER_MODEL.

    Examples:

        merge-reasoner up

        MERGEREASONER_ENGINE=openai MERGEREASONER_BASE_URL=http://localhost:8000/v1 merge-reasoner up
    """
    with told():
        settings = Settings.from_env(os.environ)
        StateDirectory(settings.state_dir).make()
        if foreground:
            _supervise(settings)
            return
        if _pid(settings) is not None:
            tell(
                as_json,
                "already running; `merge-reasoner down` stops it",
                running=True,
                state_dir=settings.state_dir,
            )
            return
        if loads_a_file(settings):
            ensure_model(settings.model, settings.models_dir)
        _start_in_background(settings)
        tell(
            as_json,
            f"running; data and logs are in {settings.state_dir}. Stop with: merge-reasoner down",
            running=True,
            state_dir=settings.state_dir,
        )


def down(as_json: JsonFlag = False) -> None:
    """Stop what `up` started, workers first; what they were at is taken up again by the next `up`.

    Example:

        merge-reasoner down
    """
    with told():
        settings = Settings.from_env(os.environ)
        pid = _pid(settings, starting=True)
        if pid is None:
            tell(as_json, "nothing is running", running=False)
            return
        with _watched(pid) as is_gone:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + DOWN_TIMEOUT_S
            while not (_has_ended(settings) and is_gone()):
                if time.monotonic() > deadline:
                    raise ServiceError(f"process {pid} does not stop; its log is {_log(settings)}")
                time.sleep(0.1)
        tell(as_json, "stopped", running=False)


def migrate_command(as_json: JsonFlag = False) -> None:
    """Bring the schema of DATABASE_URL (or of what `up` runs) up to date; waits for another migrator.

    Example:

        DATABASE_URL=postgresql://me@host/reasoner merge-reasoner migrate
    """
    with told():
        settings = current_settings()
        if settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is missing; `merge-reasoner up` migrates its own database")
        store = open_store(settings)
        with statements(store):  # tells in one line when there is no way in
            pass
        store.dispose()
        try:
            bring_up_to_date(
                settings.database_url, progress=lambda line: err.print(plain(line), soft_wrap=True)
            )
        except PermissionError as error:
            raise ConfigurationError(str(error)) from error
        tell(as_json, "the schema is up to date", migrated=True)


def worker(
    queues: Annotated[
        str,
        typer.Option(
            "--queues",
            help="Comma-separated: generate, generate.given, verify.code, verify.embedding, verify.entailment, "
            "verify.facts, verify.math, decide, reconcile; or beat.",
        ),
    ],
) -> None:
    """Run one worker process until SIGTERM; needs DATABASE_URL and BROKER_URL, or a running `up`.

    Examples:

        merge-reasoner worker --queues verify.code,verify.math

        merge-reasoner worker --queues beat
    """
    with told():
        code = run_worker(current_settings(), [name.strip() for name in queues.split(",") if name.strip()])
    raise typer.Exit(code)


def health(as_json: JsonFlag = False) -> None:
    """Tell how every worker process of this machine is; exit code 0 if none is ill, 1 if one is or if there is none.

    For a container's health check: it reads what the processes report every two seconds and connects to nothing. What a
    process only waits for, an endpoint that is away say, stands in its line and does not make it ill.

    Example:

        merge-reasoner health --json
    """
    with told():
        reports = read_reports(Settings.from_env(os.environ).processes_dir)
        for report in reports:
            if as_json:
                print_json(asdict(report))
            else:
                out.print(plain(str(report)), soft_wrap=True)
        if not reports and as_json:
            print_json({"faults": ["no worker process runs here"]})
        elif not reports:
            err.print("no worker process runs here")
    ill = not reports or any(report.faults for report in reports)
    raise typer.Exit(Exit.SOME_FAILED if ill else Exit.OK)


def _supervise(settings: Settings) -> None:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()
        raise KeyboardInterrupt  # also out of a start that is under way

    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs start with SIGINT ignored
        signal.signal(ending, stop)
    with _claimed_pid_file(settings) as claim:
        try:
            with Supervisor(
                settings, progress=lambda text: err.print(plain(text), soft_wrap=True)
            ) as supervisor:
                claim()
                err.print("ready")
                while not stopping.wait(1.0):
                    supervisor.check()
        except KeyboardInterrupt:
            pass


@contextmanager
def _claimed_pid_file(settings: Settings) -> Iterator[Callable[[], None]]:
    """Yield what writes our process id for `down`, locked for as long as we live.

    The lock, not the number, says that we run: a number left by a crash may belong to anybody by now.
    """
    path = _pid_file(settings)
    with path.open("a+", encoding="ascii") as stream:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _locked(stream, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise ServiceError("already running; `merge-reasoner down` stops it")
            time.sleep(0.05)

        def write(text: str) -> None:
            stream.truncate(0)
            stream.write(text)
            stream.flush()

        write(f"{os.getpid()} {STARTING}")
        yield lambda: write(str(os.getpid()))
        stream.truncate(0)


def _start_in_background(settings: Settings) -> None:
    log = _log(settings)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        with err.status("starting Postgres, Valkey and the workers"):
            _wait_until_up(settings, process, log)
    except BaseException:  # Ctrl-C too: who gave up must not find it running later
        process.terminate()
        raise


def _wait_until_up(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while _pid(settings) != process.pid:
        if process.poll() is not None:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise ServiceError(f"it did not start: {' / '.join(last)} (log: {log})")
        if time.monotonic() > deadline:
            raise ServiceError(f"it did not come up in {UP_TIMEOUT_S:.0f} s; the log is {log}")
        time.sleep(0.1)


def _pid_file(settings: Settings) -> Path:
    return settings.state_dir / "processes" / "supervisor.pid"


def _log(settings: Settings) -> Path:
    return settings.state_dir / "logs" / "supervisor.log"


def _pid(settings: Settings, *, starting: bool = False) -> int | None:
    """Return the process id of the supervisor that runs and is ready, or ``None``; ``starting`` ones too if asked."""
    try:
        with _pid_file(settings).open(encoding="ascii") as stream:
            if _is_free(stream):
                return None
            written = stream.read()
    except OSError:
        return None
    pid, _, note = written.partition(" ")
    return int(pid) if pid.isdecimal() and (starting or not note) else None


def _is_free(stream: TextIO) -> bool:
    return _locked(stream, fcntl.LOCK_SH)


def _locked(stream: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _watched(pid: int) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether the process is gone: it gives its lock back some moments earlier.

    Where the system has no handles of processes (macOS) the lock alone must do.
    """
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):  # no such call, or no such process
        yield lambda: True
        return
    try:
        yield lambda: bool(select.select([handle], [], [], 0)[0])
    finally:
        os.close(handle)


def _has_ended(settings: Settings) -> bool:
    with _pid_file(settings).open(encoding="ascii") as stream:
        return _is_free(stream)
