"""Whether a worker process can do its work, told in a file that a health check reads.

The best-known fault of this stack is a worker that is alive but deaf: connected, idle, and never handed a message
again after a reconnect. No ping shows it. What shows it is work that waits in its queues while it has a free thread
and takes nothing. Such a process says so, and ends itself a while later, so that whoever supervises it (``up``,
Docker, Kubernetes) starts a fresh one; what it held is taken up again when its leases have run out.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
STALE_AFTER_S = 20.0  # a process that is stopped, or hangs in a call without an end, no longer writes
FORGOTTEN_AFTER_S = 86_400.0  # of a machine that is no more, or a process whose id is another's now

Check = Callable[[], str]
"""Returns what is wrong, or an empty string."""


class Ears:
    """What a process heard: messages taken, and stages at work now."""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._lock = threading.Lock()
        self._n_taken = 0
        self._n_at_work = 0
        self._is_stopping = False

    def stop(self) -> None:
        """Take no more messages, which is not deafness."""
        self._is_stopping = True

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Count one message for as long as its stage takes."""
        with self._lock:
            self._n_taken += 1
            self._n_at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_at_work -= 1

    @property
    def n_taken(self) -> int:
        """Messages taken so far."""
        return self._n_taken

    @property
    def is_idle(self) -> bool:
        """Whether a thread is free to take a message."""
        return self._n_at_work < self._n_threads and not self._is_stopping


@dataclass(slots=True, kw_only=True)
class DeafnessWatch:
    """Tells how long messages have been waiting for an idle worker that takes none."""

    deaf_after_s: float
    _n_taken: int = -1
    _since_s: float | None = None

    def look(self, *, n_taken: int, is_idle: bool, n_waiting: int, now_s: float) -> float:
        """Return for how many seconds this process has been deaf; 0 when it isn't."""
        if n_taken != self._n_taken or not is_idle or n_waiting == 0:
            self._n_taken, self._since_s = n_taken, None
            return 0.0
        if self._since_s is None:
            self._since_s = now_s
        waited_s = now_s - self._since_s
        return waited_s if waited_s >= self.deaf_after_s else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One process as it last told of itself."""

    name: str
    pid: int
    at: str
    """ISO 8601, UTC."""

    faults: list[str] = field(default_factory=list)
    """One sentence each; none when it can work."""

    waits: list[str] = field(default_factory=list)
    """What its work waits for, a sentence each; a fresh process would wait for it, too, so this is no fault."""

    n_taken: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join([*self.faults, *self.waits]) or 'well'}"


class HealthReporter:
    """Writes a report every two seconds, from a thread of its own."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        checks: Sequence[Check],
        waits: Sequence[Check] = (),
        ears: Ears | None = None,
    ) -> None:
        self._path = path
        self._name = name
        self._checks = checks
        self._waits = waits
        self._ears = ears
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin to report; what ended processes of the same name left behind goes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for path in self._path.parent.glob(f"{glob.escape(self._name)}@*.health.json"):
            if _is_left_behind(path):
                path.unlink(missing_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Report no more, and leave no report behind."""
        self._stop.set()
        self._thread.join(timeout=REPORT_EVERY_S)
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            faults = [fault for check in self._checks if (fault := check())]
            waits = [wait for check in self._waits if (wait := check())]
            if not self._stop.is_set():
                self._write(faults, waits)
            self._stop.wait(REPORT_EVERY_S)

    def _write(self, faults: list[str], waits: list[str]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        n_taken = self._ears.n_taken if self._ears is not None else 0
        report = Report(name=self._name, pid=os.getpid(), at=now, faults=faults, waits=waits, n_taken=n_taken)
        unfinished = self._path.with_suffix(".new")
        try:
            unfinished.write_text(json.dumps(asdict(report)), encoding="utf-8")
            unfinished.replace(self._path)
        except OSError as error:  # a full disk: the old report grows stale, which is what the check will say
            logger.warning("no health report", extra={"error": str(error)})


def report_path(directory: Path, name: str) -> Path:
    """Return where this process, called ``name``, reports: apart from others of the name, and of machines beside it."""
    return directory / f"{name}@{socket.gethostname()}.{os.getpid()}.health.json"


def _of_this_machine(path: Path) -> bool:
    return path.name.partition("@")[2].startswith(f"{socket.gethostname()}.")


def _is_left_behind(path: Path) -> bool:
    """Return whether the process that reported there has ended; of another machine's only its silence can tell."""
    try:
        if time.time() - path.stat().st_mtime > FORGOTTEN_AFTER_S:
            return True
    except OSError:  # somebody else was quicker
        return False
    pid = path.name.removesuffix(".health.json").rpartition(".")[2]
    return _of_this_machine(path) and pid.isdecimal() and not _lives(int(pid))


def read_reports(directory: Path) -> list[Report]:
    """Return the reports of this machine's processes, judged anew: one that is stale or whose process ended is ill."""
    found = []
    for path in sorted(filter(_of_this_machine, directory.glob("*.health.json"))):
        try:
            report = Report(**json.loads(path.read_text(encoding="utf-8")))
            found.append(_judged(report))
        except (OSError, ValueError, TypeError):
            found.append(Report(name=path.name.partition("@")[0], pid=0, at="", faults=["unreadable"]))
    return found


def _judged(report: Report) -> Report:
    age_s = (datetime.now(UTC) - datetime.fromisoformat(report.at)).total_seconds()
    faults = list(report.faults)
    if not _lives(report.pid):
        faults = [f"process {report.pid} has ended"]
    elif age_s > STALE_AFTER_S:
        faults = [f"no report for {age_s:.0f} s: stopped, or stuck", *faults]
    return replace(report, faults=faults)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_ears(
    watch: DeafnessWatch, ears: Ears, *, waiting: Callable[[], int], on_deaf: Callable[[], None]
) -> Check:
    """Return the check for deafness; ``on_deaf`` is called when it has lasted twice as long as is tolerated."""

    def check() -> str:
        n_waiting = waiting() if ears.is_idle else 0
        deaf_s = watch.look(
            n_taken=ears.n_taken, is_idle=ears.is_idle, n_waiting=n_waiting, now_s=time.monotonic()
        )
        if deaf_s >= 2 * watch.deaf_after_s:
            on_deaf()
        return (
            f"deaf: {n_waiting} messages wait, a thread is free, and none was taken for {deaf_s:.0f} s"
            if deaf_s
            else ""
        )

    return check


def main(directory: Path) -> int:
    """Write a line per process and return 0 when there is one and none is ill, else 1.

    ``python -m worker.health FOLDER`` does what the command `health` does without importing all commands, which takes
    a second of CPU time and 150 MB: too much for a check that a container makes every few seconds.
    """
    reports = read_reports(directory)
    for report in reports:
        sys.stdout.write(f"{report}\n")
    if not reports:
        sys.stdout.write("no worker process runs here\n")
    return int(not reports or any(report.faults for report in reports))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
