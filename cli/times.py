"""Points in time as people write them: ``90m``, ``2h``, a day, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.console import fail
from worker.months import months_before, months_in
from worker.times import EARLIEST, LATEST, WHY_NOT, in_reach

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([smhdw])")


def point_in_time(text: str | None, *, option: str) -> datetime | None:
    """Return the time that ``text`` means; a span counts from now, and a time without an offset is UTC."""
    if text is None:
        return None
    if (span := _span(text)) is not None:
        return _moved(datetime.now(UTC), span, text, option=option)
    return moment(text, option=option, examples="90m, 2h, 1d or 2026-05-03T18:00Z")


def past_time(text: str | None, *, option: str) -> datetime | None:
    """Return the time that ``text`` means; a span counts back from now, and a time without an offset is UTC."""
    if text is None:
        return None
    if (span := _span(text)) is not None:
        return _moved(datetime.now(UTC), -span, text, option=option)
    return moment(text, option=option, examples="90m, 3d, 2w, 2026-05-03 or 2026-05-03T18:00Z")


def age(text: str, *, now: datetime, option: str) -> datetime:
    """Return the time that is so long before ``now`` (``12mo``, ``400d``), or that ``text`` itself says."""
    if (n_months := months_in(text)) is not None:
        if n_months > 12 * (now.year - EARLIEST.year):
            raise fail(f"{option} {text!r} {WHY_NOT}")
        return months_before(now, n_months)
    if (span := _span(text)) is not None:
        return _moved(now, -span, text, option=option)
    return moment(text, option=option, examples="12mo, 2y, 400d or 2026-05-03")


def past_age(text: str, *, now: datetime, option: str) -> datetime:
    """Return the time of ``age``, which must have come: what is older than a later one is everything."""
    time = age(text, now=now, option=option)
    if time > now:
        raise fail(f"{option} {text!r} has not come yet, so everything would be older: mistyped?")
    return time


def moment(text: str, *, option: str, examples: str) -> datetime:
    """Return the time that ``text`` says in ISO 8601; one without an offset is UTC."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise fail(f"{option} {text!r} is no time: write {examples}") from None
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    if not in_reach(time):
        raise fail(f"{option} {text!r} {WHY_NOT}")
    return time


def is_day(text: str) -> bool:
    """Return whether ``text`` names a day and no time of it."""
    return re.fullmatch(r"\d{4}-?\d{2}-?\d{2}|\d{4}-?W\d{2}-?\d", text.strip()) is not None


def _span(text: str) -> timedelta | None:
    found = SPAN.fullmatch(text.strip())
    return None if found is None else timedelta(**{UNITS[found[2]]: float(found[1])})


def _moved(time: datetime, by: timedelta, text: str, *, option: str) -> datetime:
    if not EARLIEST - time <= by <= LATEST - time:
        raise fail(f"{option} {text!r} {WHY_NOT}")
    return time + by
