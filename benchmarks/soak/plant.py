"""What is soaked: servers, a network between them and the workers, and worker processes that are started again."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis

from benchmarks.soak.proxy import Proxy
from benchmarks.waiting import until
from db.migrate import migrate
from db.session import connect
from worker.embedded import launch
from worker.embedded.services import Services
from worker.health import read_reports
from worker.settings import Settings
from worker.store.transactions import Store
from worker.supervisor import worker_environment

ROOT = Path(__file__).parents[2]

WORKERS: Mapping[str, str] = {
    "generate": "generate,generate.given",
    "verify": "verify.math",
    "control": "decide,reconcile",
    "all": "generate,generate.given,verify.math,decide,reconcile",
    "beat": "beat",
    "spare": "beat",
}
"""Every role at least twice, so that the work goes on while one of them is dead."""


@dataclass(slots=True)
class Process:
    """One worker process."""

    command: list[str]
    state_dir: Path
    popen: subprocess.Popen[bytes]
    n_starts: int = 1


class Plant:
    """Everything that runs, for the length of a ``with`` block."""

    def __init__(self, folder: Path, *, recording: Path, lease_s: float, max_deliveries: int) -> None:
        self.folder = folder
        self.services = Services(folder / "state")
        self.proxy = Proxy(
            self.services.state.sockets / "proxy.sock", self.services.state.sockets / "valkey.sock"
        )
        self.processes: dict[str, Process] = {}
        self._broker: redis.Redis | None = None
        self._settings = Settings(
            state_dir=folder / "state",
            engine="replay",
            replay_file=recording,
            lease_s=lease_s,
            max_deliveries=max_deliveries,
            generate_threads=2,
            log_level="WARNING",
        )

    def __enter__(self) -> Self:
        self.services.start()
        migrate(self.services.database_url)
        self.proxy.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.popen.kill()
            process.popen.wait()
        if self._broker is not None:
            self._broker.close()
        self.proxy.stop()
        self.services.stop()

    @property
    def settings(self) -> Settings:
        """What workers are told; their broker is behind the proxy."""
        through = f"redis+socket://{quote(str(self.proxy.here), safe='/')}?virtual_host=0"
        return replace(self._settings, database_url=self.services.database_url, broker_url=through)

    @property
    def broker(self) -> redis.Redis:
        """The broker itself, not behind the proxy."""
        if self._broker is None:
            self._broker = redis.Redis.from_url(self.services.redis_url)
        return self._broker

    def store(self) -> Store:
        """Return the database."""
        return connect(self.services.database_url)

    def start_workers(self) -> None:
        """Start every role and wait until all report that they are well."""
        for name, queues in WORKERS.items():
            state_dir = self.folder / "workers" / name  # each as if on a machine of its own
            command = [sys.executable, "-m", "benchmarks.soak.worker", "worker", "--queues", queues]
            self.processes[name] = Process(command, state_dir, self._spawn(command, state_dir))
        until(lambda: not self.ill(), "all workers are well", patience_s=400)

    def ill(self) -> list[str]:
        """Return what the workers report as wrong, those without a report included."""
        found = []
        for name, process in self.processes.items():
            reports = read_reports(process.state_dir / "processes")
            if not reports:
                found.append(f"{name}: no report")
            found += [f"{name}: {fault}" for report in reports for fault in report.faults]
        return found

    def look_after(self) -> None:
        """Start again whatever has died, as a supervisor does."""
        for name in self.services.restart_dead():
            print(f"  {name} was down and is up again")
        for process in self.processes.values():
            if process.popen.poll() is not None:
                process.popen = self._spawn(process.command, process.state_dir)
                process.n_starts += 1

    def rest(self, seconds: float, *, while_: Callable[[], bool] = lambda: True) -> None:
        """Let the plant run for a while, looking after it."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and while_():
            self.look_after()
            time.sleep(0.2)

    def limit_broker_files(self, n_bytes: int | None) -> None:
        """Let no file of the broker's grow beyond ``n_bytes`` more than its log has now: a full disk; none lifts it."""
        pid = self.services.broker_pid
        if pid is None:
            return
        if n_bytes is None:
            limit = resource.RLIM_INFINITY
        else:
            logs = list((self.services.state.valkey).rglob("*.aof"))
            limit = max((log.stat().st_size for log in logs), default=0) + n_bytes
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def submit(self, tenant: str, file: Path) -> subprocess.Popen[bytes]:
        """Start the command that submits ``file``."""
        environment = worker_environment(self.settings, os.environ) | {"MERGEREASONER_TENANT": tenant}
        command = [sys.executable, "-m", "cli.main", "submit", str(file), "--json"]
        return subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def _spawn(self, command: list[str], state_dir: Path) -> subprocess.Popen[bytes]:
        settings = replace(self.settings, state_dir=state_dir)
        state_dir.mkdir(parents=True, exist_ok=True)
        tied = [sys.executable, launch.__file__, str(os.getpid()), "9", "self", *command]
        with (state_dir / "worker.log").open("ab") as log:
            return subprocess.Popen(
                tied, env=worker_environment(settings, os.environ), cwd=ROOT, stdout=log, stderr=log
            )


def children_of(pid: int) -> list[int]:
    """Return the processes that ``pid`` started."""
    path = Path(f"/proc/{pid}/task")
    try:
        found = [(task / "children").read_text().split() for task in path.iterdir()]
    except OSError:
        return []
    return [int(child) for words in found for child in words]


def shuffled(queue_of: redis.Redis, key: bytes, chance: random.Random) -> int:
    """Shuffle the messages of a list in the broker and return how many there were."""
    with queue_of.pipeline(transaction=True) as pipe:
        messages = queue_of.lrange(key, 0, -1)
        if len(messages) < 2:
            return 0
        # What workers take meanwhile is in the shuffled list once more: a duplicate, which is a fault as well.
        chance.shuffle(messages)
        pipe.delete(key)
        pipe.rpush(key, *messages)
        pipe.execute()
    return len(messages)
