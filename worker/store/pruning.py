"""Taking old rows away: what may go of each month, months dropped whole where all of it may, and a list of what went.

Each step is a transaction that lists the tasks it touches in ``pruned_tasks`` and takes their rows away, so that a
pruning that is stopped has told the truth about what it had done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from db import pruning
from db.partitions import PARTITIONED
from db.retention import EVIDENCE, TASK
from worker.months import Month, id_at
from worker.store.keeping import as_keeper
from worker.store.partitions import Partition, list_partitions
from worker.store.transactions import brief_locks, statements, transaction

STEP_TASKS = 1_000
"""Tasks of one transaction where rows are deleted."""

GOES, GONE = "goes", "gone"

Progress = Callable[[str], None]


class SomethingStaysError(Exception):
    """Raised where a month was to be dropped of which a task stays that was to go when it was planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may go of one tenant."""

    tenant: str
    older_than: datetime
    """Submitted, finished and last decided before this."""

    keep_labelled: bool
    pruning_id: UUID
    """Under which it will be listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of ids that is looked at as one: a month that has partitions, or what lies between two of those."""

    from_id: UUID
    until_id: UUID
    month: Month | None
    fates: Mapping[str, int] = field(default_factory=dict)
    """How many tasks go, and how many stay for which reason."""

    tenants: frozenset[str] = frozenset()
    """Whose tasks go."""

    @property
    def is_dropped(self) -> bool:
        """Whether its partitions go whole: it is a month, and nobody in it stays."""
        return self.month is not None and bool(self.fates) and set(self.fates) <= {GOES, GONE}


@dataclass(slots=True, kw_only=True)
class Tally:
    """Rows that went, by tenant and table, and the months that were dropped."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    months: list[str] = field(default_factory=list)

    def add(self, table: str, found: Sequence[Any]) -> None:
        """Count rows of (tenant, n)."""
        for tenant, n in found:
            self.rows.setdefault(tenant, Counter())[table] += n


def plan_windows(engine: Engine, rules: Sequence[Rule], *, what: str, unsealed: bool) -> list[Window]:
    """Return every span before the youngest rule's time, with what becomes of its tasks."""
    end = max(id_at(rule.older_than) for rule in rules)
    months = sorted({one.month for one in list_partitions(engine) if one.month is not None})
    windows = []
    with statements(engine) as connection:
        for window in _windows(months, end):
            values = _values(rules, window, what=what, unsealed=unsealed)
            found = connection.execute(pruning.FATES, values).all()
            fates: Counter[str] = Counter()
            for fate, _, n in found:
                fates[fate] += n
            tenants = frozenset(tenant for fate, tenant, _ in found if fate == GOES)
            if fates:
                windows.append(replace(window, fates=fates, tenants=tenants))
    return windows


def _windows(months: Sequence[Month], end: UUID) -> Iterator[Window]:
    at = UUID(int=0)
    for month in months:
        next_id = month.plus(1).first_id
        if next_id > end:
            break
        if at < month.first_id:
            yield Window(from_id=at, until_id=month.first_id, month=None)
        yield Window(from_id=month.first_id, until_id=next_id, month=month)
        at = next_id
    if at < end:
        yield Window(from_id=at, until_id=end, month=None)


def begin(
    engine: Engine, rules: Sequence[Rule], *, what: str, policy: Mapping[str, object], who: str
) -> None:
    """Put the prunings on record before anything goes.

    Raises:
        KeeperRefusedError: This login may not prune.
    """
    with transaction(engine) as connection, as_keeper(connection):
        for rule in rules:
            connection.execute(
                pruning.BEGIN,
                {
                    "id": rule.pruning_id,
                    "tenant": rule.tenant,
                    "what": what,
                    "older_than": rule.older_than,
                    "policy": json.dumps({**policy, "keep_labelled": rule.keep_labelled}),
                    "who": who,
                },
            )


def finish(engine: Engine, rules: Sequence[Rule], tally: Tally) -> None:
    """Complete the records of prunings that ran to their end."""
    with transaction(engine) as connection, as_keeper(connection):
        for rule in rules:
            counts = {"rows": dict(tally.rows.get(rule.tenant, {})), "months": tally.months}
            connection.execute(pruning.FINISH, {"id": rule.pruning_id, "counts": json.dumps(counts)})


def finish_stopped(engine: Engine) -> None:
    """Complete the records of prunings that were stopped, so that a seal takes them in; nobody else may be pruning.

    Raises:
        KeeperRefusedError: There are some, and this login may not prune.
    """
    with transaction(engine) as connection:
        ids = list(connection.execute(pruning.UNFINISHED).scalars())
        if not ids:
            return
        with as_keeper(connection):
            for id_ in ids:
                connection.execute(pruning.FINISH, {"id": id_, "counts": json.dumps({"stopped": True})})


def take_evidence(
    engine: Engine, rules: Sequence[Rule], window: Window, tally: Tally, *, unsealed: bool
) -> None:
    """Take chains and verdicts of a window away: a month whole, unless a task of it is to stay meanwhile.

    Raises:
        StoreBusyError: A table was in use for too long; what had gone is on record.
    """
    if window.is_dropped:
        with suppress(SomethingStaysError):  # the others go row by row
            _drop_month(engine, rules, window, tally, unsealed=unsealed)
    values = _values(rules, window, what=EVIDENCE, unsealed=unsealed)
    for connection, ids in _steps(engine, values):
        for table, statement in pruning.DELETE_EVIDENCE.items():
            tally.add(table, connection.execute(statement, {"ids": ids}).all())


def take_tasks(
    engine: Engine, rules: Sequence[Rule], window: Window, tally: Tally, *, unsealed: bool
) -> None:
    """Take the tasks of a window away with all that is theirs; a month without tasks loses its partitions.

    Raises:
        StoreBusyError: A table was in use for too long; what had gone is on record.
    """
    values = _values(rules, window, what=TASK, unsealed=unsealed)
    for connection, ids in _steps(engine, values):
        for table, statement in pruning.DELETE_EVIDENCE.items():
            tally.add(table, connection.execute(statement, {"ids": ids}).all())
        for statement in pruning.DELETE_UNOWNED:
            connection.execute(statement, {"ids": ids})
        for table, statement in pruning.DELETE_DECISIONS.items():
            tally.add(table, connection.execute(statement, {"ids": ids}).all())
        tally.add("tasks", connection.execute(pruning.DELETE_TASKS, {"ids": ids}).all())
    if window.month is not None:
        _drop_empty(engine, window, tally)


def _steps(engine: Engine, values: dict[str, Any]) -> Iterator[tuple[Connection, list[UUID]]]:
    """Yield transactions with the next tasks that go, listed as gone; the caller takes their rows away."""
    from_id = values["from_id"]
    while True:
        with transaction(engine) as connection, as_keeper(connection):
            found = connection.execute(pruning.NEXT_IDS, values | {"from_id": from_id, "n": STEP_TASKS}).all()
            if not found:
                return
            ids = [row.id for row in found]
            listed = connection.execute(pruning.LIST_PRUNED, values | {"ids": ids}).scalars().all()
            if listed:
                yield connection, list(listed)
        from_id = ids[-1]


def _drop_month(
    engine: Engine, rules: Sequence[Rule], window: Window, tally: Tally, *, unsealed: bool
) -> None:
    values = _values(rules, window, what=EVIDENCE, unsealed=unsealed)
    mine = [
        one for one in list_partitions(engine) if one.month == window.month and one.parent in pruning.EVIDENCE
    ]
    counted = Tally()
    with brief_locks(engine) as connection:
        with as_keeper(connection):
            connection.execute(pruning.HOLD_MONTH, values)
            connection.execute(pruning.LIST_MONTH, values)
        for one in mine:
            counted.add(one.parent, connection.execute(text(pruning.COUNT_OF.format(name=one.name))).all())
        connection.execute(pruning.HASTE)
        connection.execute(pruning.HOLD)
        if connection.execute(pruning.HAS_UNLISTED, values).scalar_one():
            raise SomethingStaysError
        _drop(connection, mine)
    for tenant, rows in counted.rows.items():
        tally.rows.setdefault(tenant, Counter()).update(rows)
    tally.months.append(str(window.month))


def _drop_empty(engine: Engine, window: Window, tally: Tally) -> None:
    span = {"from_id": window.from_id, "until_id": window.until_id}
    mine = [one for one in list_partitions(engine) if one.month == window.month and one.parent in PARTITIONED]
    with brief_locks(engine) as connection:
        connection.execute(pruning.HASTE)
        connection.execute(pruning.HOLD)
        if connection.execute(pruning.HAS_TASKS, span).scalar_one():
            return
        _drop(connection, mine)
    tally.months.append(str(window.month))


def _drop(connection: Connection, mine: Sequence[Partition]) -> None:
    for one in mine:
        connection.execute(text(pruning.DROP.format(name=one.name)))


def _values(rules: Sequence[Rule], window: Window, *, what: str, unsealed: bool) -> dict[str, Any]:
    return {
        "tenants": [rule.tenant for rule in rules],
        "older_than": [rule.older_than for rule in rules],
        "until_ids": [id_at(rule.older_than) for rule in rules],
        "keep_labelled": [rule.keep_labelled for rule in rules],
        "pruning_ids": [rule.pruning_id for rule in rules],
        "from_id": window.from_id,
        "until_id": window.until_id,
        "what": what,
        "unsealed": unsealed,
    }
