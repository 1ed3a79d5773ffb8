"""What prunings and imports say they took and brought: what is missing, or of an old time, with leave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from db import sealing
from worker.store.transactions import statements


@dataclass(frozen=True, slots=True)
class Leave:
    """A pruning by which a row may have gone."""

    id: UUID
    older_than: datetime
    """It took nothing that was decided then or later."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import by which a row may have come."""

    id: UUID
    sealed_in: int | None
    """Number of the seal that holds it."""


def pruned(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, dict[str, Leave]]:
    """Return, of those tasks that a pruning touched, what went (``evidence``, ``task``) and under which pruning."""
    found: dict[UUID, dict[str, Leave]] = defaultdict(dict)
    with statements(engine) as connection:
        for row in connection.execute(sealing.PRUNED, {"ids": list(ids)}):
            found[row.task_id][row.what] = Leave(row.pruning_id, row.older_than)
    return found


def unfinished(engine: Engine, task_id: UUID | None, *, at_most: int) -> list[UUID]:
    """Return the prunings that list tasks, or this one, and did not come to their end."""
    with statements(engine) as connection:
        return list(connection.execute(sealing.UNFINISHED, {"id": task_id, "n": at_most}).scalars())


def imported(engine: Engine, ids: Sequence[UUID]) -> dict[UUID, list[Import]]:
    """Return, by what an import says it brought, the imports that do, oldest first."""
    found: dict[UUID, list[Import]] = defaultdict(list)
    with statements(engine) as connection:
        for row in connection.execute(sealing.IMPORTED, {"ids": list(ids)}):
            found[row.about_id].append(Import(row.import_id, row.seal_number))
    return found


def has_unsealed_import(engine: Engine) -> bool:
    """Return whether an import brought rows, of whatever time, since the last seal."""
    with statements(engine) as connection:
        return bool(connection.execute(sealing.HAS_UNSEALED_IMPORT).scalar_one())


def forged_lists(engine: Engine) -> list[tuple[str, UUID]]:
    """Return the prunings and imports that name other tasks than they did when they were sealed."""
    with statements(engine) as connection:
        return [(row.kind, row.id) for row in connection.execute(sealing.FORGED_LISTS)]
