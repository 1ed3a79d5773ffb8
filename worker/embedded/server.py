"""One server process: started as our direct child, watched, stopped, and cleaned up after."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from worker.embedded.errors import ServerStartError
from worker.embedded.identity import LAUNCH
from worker.errors import ServiceError

POLL_S = 0.01
MAX_LOG_BYTES = 10_000_000  # an older log is kept once, beside the new one


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What to run, and how to tell that it is up."""

    name: str
    command: tuple[str, ...]
    identity: str
    directory: Path
    """Data directory, and the working directory of the process."""

    log: Path
    sockets: tuple[Path, ...]
    """Files that a killed server leaves behind."""

    stop_signals: tuple[signal.Signals, ...]
    """From polite to rude; each gets ``stop_timeout_s`` before the next."""

    is_ready: Callable[[int], bool]
    """Whether the process of this pid, and not one before it, takes clients."""

    prepare: Callable[[], None] = lambda: None
    """Called before each start, once nothing of an earlier one runs."""

    start_timeout_s: float = 60.0  # recovery after a crash may have to replay a lot
    stop_timeout_s: float = 20.0


class Server:
    """A server and its life."""

    def __init__(self, plan: ServerPlan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel sends the death signal when the *thread* that forked the server ends, so one thread
        # that lives as long as the server does the forking, whoever calls start().
        self._keeper: ThreadPoolExecutor | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until it is ready.

        Raises:
            ServerStartError: It ended at once or was not ready in time.
        """
        self.stop_leftover()
        self.plan.prepare()
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{self.plan.name}-keeper")
        self._process = self._keeper.submit(self._spawn).result()
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        try:
            self._wait_until_ready(self._process)
        except BaseException:  # Ctrl-C while it comes up must not leave it running
            self.stop()
            raise

    def stop(self) -> None:
        """Shut it down, politely first; harmless when it is not running."""
        if self._process is not None:
            _end(self._process.pid, self.plan.stop_signals, self.plan.stop_timeout_s, self._has_exited)
            self._process = None
            self._sweep()
        if self._keeper is not None:
            self._keeper.shutdown()
            self._keeper = None

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash would; ``start`` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop_leftover(self) -> None:
        """Stop a server that outlived its supervisor, and clear what a dead one left.

        On Linux the kernel has told it to shut down and this waits for that; elsewhere this is what stops it.

        Raises:
            ServiceError: It runs and will not stop.
        """
        pid = self._leftover_pid()
        if pid is not None and not _end(
            pid, self.plan.stop_signals, self.plan.stop_timeout_s, lambda: self._leftover_pid() is None
        ):
            raise ServiceError(
                f"a {self.plan.name} of an earlier start (process {pid}) does not stop; kill it"
            )
        self._sweep()

    @property
    def _pid_file(self) -> Path:
        return self.plan.log.with_suffix(".pid")

    def _spawn(self) -> subprocess.Popen[bytes]:
        plan = self.plan
        if plan.log.exists() and plan.log.stat().st_size > MAX_LOG_BYTES:
            plan.log.replace(plan.log.with_suffix(".log.1"))
        death_signal = str(int(plan.stop_signals[0]))
        with plan.log.open("ab") as log:
            return subprocess.Popen(
                [*LAUNCH, str(os.getpid()), death_signal, plan.identity, *plan.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=plan.directory,
                env=server_environment(),
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops servers last
                umask=0o077,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.plan.start_timeout_s
        while not self.plan.is_ready(process.pid):
            if (code := process.poll()) is not None:
                raise ServerStartError(self.plan.name, f"it ended with exit code {code}", log=self.plan.log)
            if time.monotonic() > deadline:
                reason = f"it was not ready after {self.plan.start_timeout_s:.0f} s"
                raise ServerStartError(self.plan.name, reason, log=self.plan.log)
            time.sleep(POLL_S)

    def _has_exited(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _leftover_pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        # The pid may have been given to an innocent process since: believe it only if it names our places.
        places = [str(self.plan.directory), *(str(path.parent) for path in self.plan.sockets)]
        command = command_line(pid)
        return pid if any(place in command for place in places) else None

    def _sweep(self) -> None:
        for path in (*self.plan.sockets, self._pid_file):
            path.unlink(missing_ok=True)


def command_line(pid: int) -> str:
    """Return the command line of a living process, else an empty string."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def server_environment() -> dict[str, str]:
    """Return all a server may see: no secrets of ours, and the C locale it was set up with."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _end(
    pid: int, signals: tuple[signal.Signals, ...], patience_s: float, has_exited: Callable[[], bool]
) -> bool:
    for sign in signals:
        if has_exited():
            return True
        os.kill(pid, sign)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if has_exited():
                return True
            time.sleep(POLL_S)
    return has_exited()
