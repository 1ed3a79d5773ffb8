"""The search over decisions: filters in, pages out, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import finding
from db.entries import WEEK_S
from worker.errors import QueryError
from worker.store.filters import Filters
from worker.store.transactions import transaction

Found = tuple[UUID, datetime]
"""A task, and when it was decided."""

NOBODY = UUID(int=0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
EXPORT_PAGE = 2000
MOST_WEEKS = 16
"""Weeks of one look at the facets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in the order of the search: what comes after is older."""

    decided_at: datetime
    task_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of what was found."""

    rows: list[dict[str, Any]]
    cursor: str | None
    """Where the next page begins; ``None`` when there is none."""


def find(engine: Engine, filters: Filters, *, tenant: str, limit: int, after: str | None = None) -> Page:
    """Return a page of the tenant's decisions, newest first.

    Args:
        engine: The database.
        filters: What they are like.
        tenant: Whose they are.
        limit: Rows of the page.
        after: The cursor of the page before, of the same filters.

    Raises:
        QueryError: The cursor is none, or one of another search.
    """
    place = None if after is None else _place(after, filters)
    with transaction(engine) as connection:
        connection.execute(finding.PLANNING)
        # One more than is wanted tells whether there is another page.
        found = _search(connection, filters, tenant=tenant, n=limit + 1, after=place)
        ids = [task_id for task_id, _ in found[:limit]]
        rows = connection.execute(finding.FOUND, {"tenant": tenant, "ids": ids}).mappings().all()
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        rows=[dict(row) for row in rows],
        cursor=None if last is None else _cursor(Place(task_id=last[0], decided_at=last[1]), filters),
    )


def find_all(
    engine: Engine, filters: Filters, *, tenant: str, after: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield every decision there is, newest first, with the memory of one page."""
    cursor = after
    while True:
        page = find(engine, filters, tenant=tenant, limit=EXPORT_PAGE, after=cursor)
        yield from page.rows
        cursor = page.cursor
        if cursor is None:
            return


def _search(
    connection: Connection, filters: Filters, *, tenant: str, n: int, after: Place | None
) -> list[Found]:
    """Return up to ``n`` tasks: along the order of time first, and if that is not enough week by week."""
    facets, n_groups = facet_values(filters)
    values: dict[str, Any] = {
        **facets,
        "tenant": tenant,
        "since": filters.since or EPOCH,
        "before": filters.until or LATEST,
        "before_id": NOBODY,
        "margin_from": filters.margin.low,
        "margin_until": filters.margin.high,
        "degree_from": filters.degree.low,
        "degree_until": filters.degree.high,
    }
    if after is not None and after.decided_at < values["before"]:
        values |= {"before": after.decided_at, "before_id": after.task_id}
    found = _rows(connection, finding.along_time(n_groups), values | {"n": n})
    if len(found) == n:
        return found
    end = connection.execute(finding.END_OF_PROBE, values).one_or_none()
    if end is None:
        return found  # all there is was looked at
    values |= {"before": end.decided_at, "before_id": end.task_id}
    oldest = connection.execute(finding.OLDEST, {"tenant": tenant}).scalar_one()
    weeks = _weeks(end.decided_at, max(oldest, values["since"]))
    return found + _by_facets(connection, weeks, values, n_groups, n=n - len(found))


def _by_facets(
    connection: Connection, weeks: range, values: dict[str, Any], n_groups: int, *, n: int
) -> list[Found]:
    """Return up to ``n`` tasks of these weeks, a few weeks at a time: more and more while little is found."""
    statement = finding.in_weeks(n_groups)
    found: list[Found] = []
    at, size = 0, 1
    while at < len(weeks) and len(found) < n:
        chunk = weeks[at : at + size]
        asked = values | {"weeks": [f"week={week}" for week in chunk], "most": finding.MOST + 1}
        rows = connection.execute(statement, asked).all()
        if len(rows) > finding.MOST and size > 1:
            size = 1  # too much for one look; a week at a time
            continue
        if len(rows) > finding.MOST:
            found += _of_dense_week(connection, chunk[0], asked, n_groups, n=n - len(found))
        else:
            found += _newest([row for row in rows if row.fits], n - len(found))
        at, size = at + len(chunk), min(2 * size, MOST_WEEKS)
    return found


def _of_dense_week(
    connection: Connection, week: int, values: dict[str, Any], n_groups: int, *, n: int
) -> list[Found]:
    """Return up to ``n`` tasks of a week in which many have the facets: along the order of time, else all of them."""
    start, end = (EPOCH + timedelta(seconds=WEEK_S * one) for one in (week, week + 1))
    within = values | {"since": max(start, values["since"]), "n": n}
    if end < values["before"]:
        within |= {"before": end, "before_id": NOBODY}
    found = _rows(connection, finding.along_time(n_groups), within)
    if len(found) == n:
        return found
    everything = connection.execute(finding.in_weeks(n_groups), within | {"most": None}).all()
    return _newest([row for row in everything if row.fits], n)


def _newest(rows: Sequence[Any], n: int) -> list[Found]:
    found = [(row.task_id, row.decided_at) for row in rows]
    return sorted(found, key=lambda one: (one[1], one[0]), reverse=True)[:n]


def facet_values(filters: Filters) -> tuple[dict[str, list[str]], int]:
    """Return the parameters of the condition on facets, and how many groups of alternatives it has."""
    groups = filters.groups()
    either = [group for group in groups if len(group) > 1]
    needed = [group[0] for group in groups if len(group) == 1]
    return {"all": needed} | {f"any_{i}": group for i, group in enumerate(either)}, len(either)


def _rows(connection: Connection, statement: Any, values: dict[str, Any]) -> list[Found]:  # noqa: ANN401 (SQLAlchemy's)
    return [(row.task_id, row.decided_at) for row in connection.execute(statement, values)]


def _weeks(newest: datetime, oldest: datetime) -> range:
    """Return the weeks between two times, the newest first."""
    first, last = (math.floor(time.timestamp() / WEEK_S) for time in (newest, oldest))
    return range(first, last - 1, -1)


def _cursor(place: Place, filters: Filters) -> str:
    micros = (place.decided_at - EPOCH) // MICROSECOND
    return f"{micros:x}.{place.task_id.hex}.{filters.fingerprint()}"


def _place(cursor: str, filters: Filters) -> Place:
    try:
        micros, task, fingerprint = cursor.split(".")
        place = Place(decided_at=EPOCH + int(micros, 16) * MICROSECOND, task_id=UUID(task))
    except (ValueError, OverflowError):
        raise QueryError(f"{cursor[:100]!r} is no cursor; give one that a page ended with") from None
    if fingerprint != filters.fingerprint():
        raise QueryError("this cursor belongs to other filters; give those again, or begin without a cursor")
    return place
