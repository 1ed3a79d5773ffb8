"""The search over decisions: filters in, pages out, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import finding
from db.entries import SPAN_S
from db.finding import Shape
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
PROBE = 2000
"""Entries that a search walks along before it asks the profiles, at least: what is frequent is met there."""

WALK = 20_000
"""Entries that it walks along in a span of which many profiles fit."""

FEW, MOST = 64, 1024
"""Profiles of one look at several spans: of the first look, and of the last ones."""

MANY = 256
"""Profiles of one span from which on it is walked along first."""


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
    """Return up to ``n`` tasks: by a key, or along the order of time first and if that is not enough by profile."""
    shape, asked = shape_of(filters)
    values: dict[str, Any] = {
        **asked,
        "tenant": tenant,
        "since": filters.since or EPOCH,
        "before": filters.until or LATEST,
        "before_id": NOBODY,
        "margin_from": filters.margin.low,
        "margin_until": filters.margin.high,
        "degree_from": filters.degree.low,
        "degree_until": filters.degree.high,
        "n": n,
    }
    if after is not None and after.decided_at < values["before"]:
        values |= _from(after)
    found, end = _walk(connection, shape, values, length=max(PROBE, 4 * n))
    if end is not None:
        further = _by_key if shape.keys else _by_profile
        found += further(connection, shape, values | _from(end) | {"n": n - len(found)})
    return found


def _walk(
    connection: Connection, shape: Shape, values: dict[str, Any], *, length: int
) -> tuple[list[Found], Place | None]:
    """Return up to ``n`` tasks among the next entries, and where the walk ended if neither they nor all entries did."""
    n = values["n"]
    rows = connection.execute(finding.walk(shape), values | {"walk": length}).all()
    found = [(row.task_id, row.decided_at) for row in rows if row.fits][:n]
    if len(found) == n or not rows or rows[-1].i < length:
        return found, None
    return found, Place(task_id=rows[-1].task_id, decided_at=rows[-1].decided_at)


def _by_key(connection: Connection, shape: Shape, values: dict[str, Any]) -> list[Found]:
    """Return up to ``n`` tasks of the keys, by longer and longer walks."""
    found: list[Found] = []
    length, end = WALK, values
    while True:
        of_walk, place = _walk(connection, shape, end | {"n": values["n"] - len(found)}, length=length)
        found += of_walk
        if place is None:
            return found
        length, end = 4 * length, end | _from(place)


def _by_profile(connection: Connection, shape: Shape, values: dict[str, Any]) -> list[Found]:
    """Return up to ``n`` tasks whose profiles fit, some spans at a time: more and more while little is found."""
    times = {"first": _span(values["since"]), "last": _span(values["before"])}
    spans = list(connection.execute(finding.spans(shape), values | times))
    found: list[Found] = []
    at, most = 0, FEW
    while at < len(spans) and len(found) < values["n"]:
        end, n_profiles = at + 1, spans[at].n
        while end < len(spans) and n_profiles + spans[end].n <= most:
            n_profiles += spans[end].n
            end += 1
        asked = values | {"first": spans[end - 1].span, "last": spans[at].span, "n": values["n"] - len(found)}
        found += _of_spans(connection, shape, asked, is_dense=n_profiles > MANY and end == at + 1)
        at, most = end, min(2 * most, MOST)
    return found


def _of_spans(connection: Connection, shape: Shape, values: dict[str, Any], *, is_dense: bool) -> list[Found]:
    """Return up to ``n`` tasks of these spans; where many profiles of one fit, a walk soon meets them."""
    if is_dense:
        end = EPOCH + timedelta(seconds=SPAN_S * (values["last"] + 1))
        within = values | {"since": max(values["since"], end - timedelta(seconds=SPAN_S))}
        if end < values["before"]:
            within |= {"before": end, "before_id": NOBODY}
        found, place = _walk(connection, shape, within, length=WALK)
        if place is None:
            return found
        values = values | _from(place)
        return found + _rows(connection, shape, values | {"n": values["n"] - len(found)})
    return _rows(connection, shape, values)


def shape_of(filters: Filters) -> tuple[Shape, dict[str, list[str]]]:
    """Return what filters ask, and the values that are its parameters."""
    groups, keys = filters.groups(), filters.keys()
    either = [group for group in groups if len(group) > 1]
    needed = [group[0] for group in groups if len(group) == 1]
    is_told = filters.are_told_by_facets()
    shape = Shape(n_groups=len(either), keys=tuple(keys), by_profile=bool(groups), by_numbers=not is_told)
    return shape, {"all": needed} | {f"any_{i}": group for i, group in enumerate(either)} | keys


def _rows(connection: Connection, shape: Shape, values: dict[str, Any]) -> list[Found]:
    rows = connection.execute(finding.by_profile(shape), values)
    return [(row.task_id, row.decided_at) for row in rows]


def _from(place: Place) -> dict[str, Any]:
    return {"before": place.decided_at, "before_id": place.task_id}


def _span(time: datetime) -> int:
    return math.floor(time.timestamp() / SPAN_S)


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
