"""The database and the broker of this machine: given ones are used, missing ones are started."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.embedded.directory import StateDirectory, make_private
from worker.embedded.identity import give, ordinary_identity
from worker.embedded.postgres import postgres_server, postgres_url
from worker.embedded.server import Server
from worker.embedded.valkey import answers_ping, broker_url, redis_url, valkey_server
from worker.errors import ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the services of a running supervisor are."""

    supervisor_pid: int
    database_url: str
    broker_url: str


class Services:
    """Real Postgres and Valkey on private sockets, for as long as the ``with`` block or the process lives.

    A URL that is given is used as it is, and nothing is started for it.

    Args:
        state_dir: Where data, logs and the lock are; made when missing, and kept at the end.
        database_url: A Postgres of the user's own.
        broker_url: A Redis or Valkey of the user's own.
    """

    def __init__(
        self, state_dir: Path, *, database_url: str | None = None, broker_url: str | None = None
    ) -> None:
        self.state = StateDirectory(state_dir)
        self._given_database_url = database_url
        self._given_broker_url = broker_url
        self._postgres: Server | None = None
        self._valkey: Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def database_url(self) -> str:
        """Return SQLAlchemy's URL (``postgresql+psycopg://...``)."""
        return self._given_database_url or postgres_url(self.state.sockets)

    @property
    def broker_url(self) -> str:
        """Return Celery's URL (``redis+socket:///...``)."""
        return self._given_broker_url or broker_url(self.state.sockets)

    @property
    def redis_url(self) -> str:
        """Return the broker's URL as redis-py writes it (``unix://...``)."""
        if self._given_broker_url is None:
            return redis_url(self.state.sockets)
        return self._given_broker_url.replace("redis+socket://", "unix://").replace("virtual_host=", "db=")

    @property
    def database_pid(self) -> int | None:
        """Return the process id of our Postgres while it runs."""
        return self._postgres.pid if self._postgres else None

    @property
    def broker_pid(self) -> int | None:
        """Return the process id of our Valkey while it runs."""
        return self._valkey.pid if self._valkey else None

    def start(self) -> None:
        """Start what is missing and wait until it answers; harmless when already started.

        Raises:
            StateDirectoryBusyError: Another process runs its servers here.
            ServiceError: A server cannot be started; the message names the log and the fix.
        """
        if self._postgres or self._valkey or (self._given_database_url and self._given_broker_url):
            return
        self.state.make()
        self.state.lock()
        try:
            make_private(self.state.sockets)
            if self._given_broker_url is None:
                self._valkey = valkey_server(self.state)
                self._valkey.start()
            if self._given_database_url is None:
                self._start_postgres()
            self._write_record()
        except BaseException:  # also Ctrl-C: what came up so far must go down again
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down what was started, database last; harmless when nothing runs."""
        for server in (self._valkey, self._postgres):
            if server is not None:
                server.stop()
        if self._postgres or self._valkey:
            self.state.record.unlink(missing_ok=True)
            self.state.remove_sockets()
        self._postgres = self._valkey = None
        self.state.unlock()

    def faults(self) -> list[str]:
        """Return what is wrong with the servers we started, one sentence each; empty when all is well."""
        faults = []
        if self._postgres is not None and self._postgres.pid is None:
            faults.append(f"postgres has ended; its log is {self._postgres.plan.log}")
        if self._valkey is not None and not answers_ping(self._valkey.plan.sockets[0]):
            faults.append(f"valkey does not answer; its log is {self._valkey.plan.log}")
        return faults

    def restart_dead(self) -> list[str]:
        """Start again, on their data, those of our servers that have ended; return their names.

        Raises:
            ServerStartError: One does not come up; the rest was not tried.
        """
        dead = [s for s in (self._valkey, self._postgres) if s is not None and s.pid is None]
        for server in dead:
            _restart(server)
        return [server.plan.name for server in dead]

    def restart_broker(self) -> None:
        """Stop Valkey, if it still runs, and start it again on its data."""
        _restart(self._valkey)

    def restart_database(self) -> None:
        """Stop Postgres, if it still runs, and start it again on its data."""
        _restart(self._postgres)

    def kill_broker(self) -> None:
        """Kill Valkey as a crash would (for fault tests)."""
        _started(self._valkey).kill()

    def kill_database(self) -> None:
        """Kill the postmaster as a crash would (for fault tests)."""
        _started(self._postgres).kill()

    def _start_postgres(self) -> None:
        identity = ordinary_identity()
        give(self.state.sockets, identity)
        self._postgres = postgres_server(self.state, identity)
        self._postgres.start()

    def _write_record(self) -> None:
        addresses = Addresses(
            supervisor_pid=os.getpid(), database_url=self.database_url, broker_url=self.broker_url
        )
        unfinished = self.state.record.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(addresses)), encoding="utf-8")
        unfinished.chmod(0o600)  # a given URL may hold a password
        unfinished.replace(self.state.record)


def find_running(state_dir: Path) -> Addresses | None:
    """Return where another process's services in this state directory are, or ``None`` if none run."""
    state = StateDirectory(state_dir)
    if not state.is_locked():
        return None
    try:
        return Addresses(**json.loads(state.record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # it is just coming up or going down


def _restart(server: Server | None) -> None:
    started = _started(server)
    started.stop()
    started.start()


def _started(server: Server | None) -> Server:
    if server is None:
        raise ServiceError("this server is not ours: it was given by URL, or nothing was started yet")
    return server
