"""What tests of stages work with: a broker that is the test itself, and a way in."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text

from db import ending
from db.models import FINAL_STATES
from worker.keeper import LeaseKeeper
from worker.settings import Settings
from worker.stages.desk import Desk
from worker.stages.reconcile import reconcile
from worker.store.transactions import Store
from worker.submitting import Submission, submit

OFF = "-c default_transaction_read_only=off"


class Outbox:
    """A publisher that keeps what it is given: the test is the broker, and decides what arrives when."""

    def __init__(self) -> None:
        self.queues: dict[str, list[UUID]] = defaultdict(list)
        self.runs = 1

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        self.queues[queue] += [task_id for task_id, _ in tasks]
        return True

    def wake(self) -> None:
        """The reconciler is the test's to call."""

    def identity(self) -> str:
        return str(self.runs)

    def take(self, queue: str) -> list[UUID]:
        return self.queues.pop(queue, [])

    def depth(self, queue: str) -> int:
        return len(self.queues.get(queue, []))


def send(
    desk: Desk, *lines: object, key: str | None = None, tmp_path: Path = Path("/nonexistent")
) -> Submission:
    content = "\n".join(json.dumps(line) for line in lines).encode()
    made = submit(
        desk.store,
        desk.publisher,
        io.BytesIO(content),
        file="f.jsonl",
        error_file=tmp_path / "errors.jsonl",
        settings=desk.settings,
        key=key,
    )
    if isinstance(desk.publisher, Outbox):
        reconcile(desk, desk.publisher)
    return made


def query(store: Store, statement: str, **values: object) -> list[Any]:
    with store.begin() as connection:
        return list(connection.execute(text(statement), values).all())


def cancel_half(store: Store, batch_id: UUID) -> None:
    """Do what a canceller does that is killed after its first page, of one task."""
    with store.begin() as connection:
        connection.execute(ending.MARK_CANCELLED, {"id": batch_id, "tenant": "default"})
    page = {
        "batch_id": batch_id,
        "after": UUID(int=0),
        "n": 1,
        "final_states": list(FINAL_STATES),
        "who": "t",
    }
    with store.begin() as connection:
        connection.execute(ending.CANCEL_TASKS, page)


class Rig:
    """Stages driven by hand: the test is the broker, and decides what arrives when."""

    def __init__(self, store: Store, settings: Settings, keeper: LeaseKeeper) -> None:
        self.store = store
        self.queues: dict[str, list[tuple[UUID, int]]] = defaultdict(list)
        self.runs = 1
        self.takes_all = True
        self.desk = Desk(store=store, publisher=self, keeper=keeper, settings=settings, holder="test")

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
        self.queues[queue] += list(tasks)
        return self.takes_all

    def wake(self) -> None:
        """The reconciler is the test's to call."""

    def depth(self, queue: str) -> int:
        return len(self.queues.get(queue, []))

    def identity(self) -> str:
        return str(self.runs)

    def set(self, **changes: Any) -> None:
        self.desk = replace(self.desk, settings=replace(self.desk.settings, **changes))

    def sweep(self) -> int:
        return reconcile(self.desk, self)

    def take(self, queue: str) -> list[UUID]:
        return [task_id for task_id, _ in self.queues.pop(queue, [])]

    def submit(self, *lines: object, tenant: str = "default", **options: Any) -> Submission:
        content = "\n".join(json.dumps(line) for line in lines).encode()
        return submit(
            self.store,
            self,
            io.BytesIO(content),
            file="f.jsonl",
            error_file=Path("/nonexistent/errors.jsonl"),
            settings=replace(self.desk.settings, tenant=tenant),
            **options,
        )

    def query(self, statement: str, **values: object) -> list[Any]:
        with self.store.begin() as connection:
            found = connection.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []

    def age(self, table: str = "tasks", column: str = "published_at", *, hours: float = 2) -> None:
        """Move a time of every row into the past, as if the test had waited."""
        self.query(f"UPDATE {table} SET {column} = {column} - make_interval(secs => {hours * 3600})")

    def states(self) -> dict[str, int]:
        return dict(self.query("SELECT state, count(*) FROM tasks GROUP BY state"))


@contextmanager
def read_only(settings: Settings) -> Iterator[None]:
    """Have the database take no writes, as one that stands by, until the end of the block."""
    administrator = create_engine(
        str(settings.database_url), isolation_level="AUTOCOMMIT", connect_args={"options": OFF}
    )
    with administrator.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        others = text("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.execute(others)
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    administrator.dispose()  # what is open stays read-only, and has to be left


def was_refused(caplog: pytest.LogCaptureFixture, logger: str) -> bool:
    """Return whether a write of ``logger``'s module was refused."""
    told = [str(vars(record).get("error")) for record in caplog.records if record.name == logger]
    return any("read-only transaction" in error for error in told)
