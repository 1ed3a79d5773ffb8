"""What tests of stages work with: a broker that is the test itself, and a way in."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from worker.stages.desk import Desk
from worker.store.transactions import Store
from worker.submitting import Submission, submit


class Outbox:
    """A publisher that keeps what it is given: the test is the broker, and decides what arrives when."""

    def __init__(self) -> None:
        self.queues: dict[str, list[UUID]] = defaultdict(list)

    def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> None:
        self.queues[queue] += [task_id for task_id, _ in tasks]

    def take(self, queue: str) -> list[UUID]:
        return self.queues.pop(queue, [])

    def depth(self, queue: str) -> int:
        return len(self.queues.get(queue, []))


def send(
    desk: Desk, *lines: object, key: str | None = None, tmp_path: Path = Path("/nonexistent")
) -> Submission:
    content = "\n".join(json.dumps(line) for line in lines).encode()
    return submit(
        desk.store,
        desk.publisher,
        io.BytesIO(content),
        file="f.jsonl",
        error_file=tmp_path / "errors.jsonl",
        settings=desk.settings,
        key=key,
    )


def query(store: Store, statement: str, **values: object) -> list[Any]:
    with store.begin() as connection:
        return list(connection.execute(text(statement), values).all())
