"""Partitions by month: which there are, making them ahead, and moving older rows out of the default partition.

A month is attached in transactions of milliseconds that give up after two seconds when something long stands in
their way, rather than let the queue wait behind them; the next run tries again. The month under way is attached only
while few of its rows stand in the default partition. Those of a busy one, and of the months before it, are moved when
it is over and the queue writes to the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from db import partitions
from db.partitions import PARTITIONED, REFERRING
from worker.errors import StoreBusyError, StoreRightsError
from worker.months import Month, month_of, month_of_id
from worker.store.keeping import as_keeper
from worker.store.transactions import brief_locks, statements

N_AHEAD = 2
"""Months beyond the present one."""

PART_ROWS = 250_000
"""Rows that are moved in one transaction, a few seconds; a month of more becomes several partitions."""

FEW_ROWS = 20_000
"""So many may be moved while the queue writes: a fraction of a second."""

SMALL_BYTES = 200_000_000
"""Of a default partition that may be looked through while the queue waits: a fraction of a second too."""

SOON = timedelta(hours=1)

_BOUND = re.compile(r"FOR VALUES FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition of one table."""

    parent: str
    name: str
    from_id: UUID | None
    """Its first id; None for the default partition, as is ``until_id``."""

    until_id: UUID | None
    """The first id beyond it."""

    size_bytes: int
    """With indexes."""

    n_rows: int
    """The server's estimate."""

    @property
    def is_default(self) -> bool:
        """Whether it holds what no month was made for."""
        return self.from_id is None

    @property
    def month(self) -> Month | None:
        """The month that all of it belongs to; None for the default partition."""
        found = re.search(r"_(\d{4})_(\d{2})(?:_p\d+)?$", self.name)
        return None if found is None else Month(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one run did."""

    partitions: tuple[str, ...]
    """Names, in the order in which they were made."""

    n_moved: int
    """Rows that left the default partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """How one table stands."""

    parent: str
    n_unsorted: int
    """Rows in its default partition, as the server estimates."""

    n_ahead: int
    """Months made beyond the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One partition to be made."""

    parent: str
    name: str
    from_id: UUID
    until_id: UUID
    is_over: bool = False
    """Whether the queue writes there no longer, or hardly."""

    def __call__(self, statement: str) -> str:
        """Return ``statement`` with our names in it."""
        return statement.format(
            parent=self.parent, name=self.name, from_id=self.from_id, until_id=self.until_id
        )


def list_partitions(engine: Engine) -> list[Partition]:
    """Return every partition, by table and name."""
    with brief_locks(engine) as connection:
        return _listed(connection)


def sorting(engine: Engine) -> list[Sorting]:
    """Return how each table stands, without waiting for anybody."""
    with statements(engine) as connection:
        found = connection.execute(partitions.STANDING, {"parents": list(PARTITIONED)})
        return [Sorting(**row) for row in found.mappings()]


def make_partitions(engine: Engine, *, now: datetime, since: Month | None = None) -> Made:
    """Make the months from the present one to two ahead, and move out of the default partition what belongs to others.

    Args:
        engine: The database, as the owner of its tables.
        now: The present.
        since: Make every month from here on, before old rows are brought in.

    Raises:
        StoreBusyError: Another process is at it, or something held a table for longer than the queue may wait.
        StoreRightsError: The login is not the owner's.
    """
    with only_one(engine):
        made: list[str] = []
        first = min(since or month_of(now), month_of(now))
        n_months = _distance(first, month_of(now)) + N_AHEAD + 1
        for parent in PARTITIONED:
            for month in [first.plus(i) for i in range(n_months)]:
                made += _make_ahead(engine, parent, month, now=now)
        n_moved = 0
        for plan in _to_move(engine, now=now):
            n_moved += _move(engine, plan)
            made.append(plan.name)
    return Made(partitions=tuple(made), n_moved=n_moved)


def _distance(one: Month, other: Month) -> int:
    return (other.year - one.year) * 12 + other.month - one.month


def _make_ahead(engine: Engine, parent: str, month: Month, *, now: datetime) -> Iterator[str]:
    """Make a month that no row stands in the way of; yield its name if it was missing."""
    plan = _Plan(
        parent=parent,
        name=f"{parent}_{month.suffix}",
        from_id=month.first_id,
        until_id=month.plus(1).first_id,
    )
    with brief_locks(engine) as connection:
        if any(one.month == month for one in _listed(connection) if one.parent == parent):
            return
        if _first_row(connection, plan) is not None:
            return  # its rows are to be moved
        has_others = connection.execute(text(plan(partitions.DEFAULT_HAS_ROWS))).scalar_one()
        # Else the check would refuse rows that the queue is writing, or soon will.
        is_ahead = month.starts_at > now + SOON
        if has_others and not is_ahead and not _is_small(connection, plan):
            return
    _create(engine, plan)
    try:
        if has_others and is_ahead:
            with brief_locks(engine) as connection:
                _run(connection, plan, partitions.ALLOW, partitions.FORBID)
            with brief_locks(engine) as connection:
                _run(connection, plan, partitions.VALIDATE)
        with brief_locks(engine) as connection:
            _run(connection, plan, partitions.HOLD_TASKS, partitions.HASTE)
            _run(connection, plan, partitions.ATTACH, partitions.UNBOUND, partitions.ALLOW)
    except StoreBusyError:
        with brief_locks(
            engine
        ) as connection:  # a check without its partition would refuse that month's rows
            _run(connection, plan, partitions.ALLOW)
        raise
    yield plan.name


def _to_move(engine: Engine, *, now: datetime) -> Iterator[_Plan]:
    """Yield what is to be moved, each planned when the one before it is done.

    The present month comes first: as long as the queue writes to the default partition, nothing else can leave it.
    """
    for parent in PARTITIONED:
        plan, _ = _next_move(engine, parent, month_of(now).first_id, now=now)
        if plan is not None:
            yield plan
        if not any(one.parent == parent and one.month == month_of(now) for one in list_partitions(engine)):
            continue
        after: UUID | None = UUID(int=0)
        while after is not None:
            plan, after = _next_move(engine, parent, after, now=now)
            if plan is not None:
                yield plan


def _next_move(
    engine: Engine, parent: str, after: UUID, *, now: datetime
) -> tuple[_Plan | None, UUID | None]:
    """Return the first part to be moved at or after an id, and where to look on; None there is the end."""
    everything = _Plan(parent=parent, name="", from_id=after, until_id=month_of(now).plus(1).first_id)
    with brief_locks(engine) as connection:
        lowest = _first_row(connection, everything)
        if lowest is None:
            return None, None
        month = month_of_id(lowest)
        if month is None:  # an id that is none of ours, and stays where it is
            return None, UUID(int=lowest.int + 1)
        neighbours = [one for one in _listed(connection) if one.parent == parent and one.month == month]
        from_id = max(
            (one.until_id for one in neighbours if one.until_id is not None), default=month.first_id
        )
        end = month.plus(1).first_id
        is_over = month < month_of(now)
        n = PART_ROWS if is_over else FEW_ROWS
        values = {"from_id": max(from_id, lowest), "until_id": end, "n": n}
        further = connection.execute(text(everything(partitions.FURTHER)), values).scalar_one_or_none()
        is_small = is_over or _is_small(connection, everything)
    if not is_over and (further is not None or not is_small):
        return None, end
    until_id = end if further is None or further == lowest else further
    is_whole = not neighbours and until_id == end
    suffix = month.suffix if is_whole else f"{month.suffix}_p{len(neighbours) + 1}"
    plan = _Plan(
        parent=parent, name=f"{parent}_{suffix}", from_id=from_id, until_id=until_id, is_over=is_over
    )
    return plan, until_id


def _move(engine: Engine, plan: _Plan) -> int:
    """Attach one partition with the rows that belong to it; return how many."""
    _create(engine, plan)
    values = {"from_id": plan.from_id, "until_id": plan.until_id}
    with brief_locks(engine) as connection:
        if not plan.is_over:
            _run(connection, plan, partitions.HOLD_TASKS)
        _run(connection, plan, partitions.HOLD_DEFAULT)
        n = connection.execute(text(plan(partitions.COPY_OUT)), values).rowcount
        # Nobody else may take sealed rows out, though they stand in their month by then.
        with as_keeper(connection):
            connection.execute(text(plan(partitions.TAKE_OUT)), values)
        _run(connection, plan, partitions.ALLOW, partitions.PROVE, partitions.HASTE, partitions.HOLD_TASKS)
        _run(connection, plan, partitions.ATTACH, partitions.UNBOUND, partitions.ALLOW)
    with statements(engine) as connection:
        _run(connection, plan, partitions.ANALYZE)
    return n


def _create(engine: Engine, plan: _Plan) -> None:
    """Make the table that is to be attached; what an interrupted run left of it goes first."""
    with brief_locks(engine) as connection:
        _run(connection, plan, partitions.DROP_UNFINISHED, partitions.CREATE, partitions.BOUND)
        if plan.parent in REFERRING:
            _run(connection, plan, partitions.REFER, partitions.REFUSE_TRUNCATE, partitions.ALWAYS)


def _is_small(connection: Connection, plan: _Plan) -> bool:
    size: int = connection.execute(text(plan(partitions.SIZE_OF_DEFAULT))).scalar_one()
    return size <= SMALL_BYTES


def _first_row(connection: Connection, plan: _Plan) -> UUID | None:
    values = {"from_id": plan.from_id, "until_id": plan.until_id}
    found: UUID | None = connection.execute(text(plan(partitions.LOWEST)), values).scalar_one_or_none()
    return found


def _listed(connection: Connection) -> list[Partition]:
    found = []
    for row in connection.execute(partitions.LIST, {"parents": list(PARTITIONED)}):
        bound = _BOUND.fullmatch(row.bound)
        found.append(
            Partition(
                parent=row.parent,
                name=row.name,
                from_id=None if bound is None else UUID(bound[1]),
                until_id=None if bound is None else UUID(bound[2]),
                size_bytes=row.size_bytes,
                n_rows=row.n_rows,
            )
        )
    return found


def _run(connection: Connection, plan: _Plan, *each: str) -> None:
    for statement in each:
        connection.execute(text(plan(statement)))


@contextmanager
def only_one(engine: Engine) -> Iterator[None]:
    """Hold the lock on the set of partitions.

    Raises:
        StoreBusyError: Another process holds it.
        StoreRightsError: The login is not the owner's.
    """
    with statements(engine) as connection:
        if not connection.execute(partitions.IS_OWNER, {"parents": list(PARTITIONED)}).scalar_one():
            raise StoreRightsError(
                "months are made and dropped by the tables' owner: use the DATABASE_URL of the login that migrates"
            )
        if not connection.execute(partitions.TRY_LOCK).scalar_one():
            raise StoreBusyError("another process is at the partitions; wait for it to end")
        try:
            yield
        finally:
            connection.execute(partitions.UNLOCK)
