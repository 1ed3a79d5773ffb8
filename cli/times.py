"""Points in time as people write them: ``90m``, ``2h``, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.console import fail

SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def point_in_time(text: str | None, *, option: str) -> datetime | None:
    """Return the time that ``text`` means; a span counts from now, and a time without an offset is UTC."""
    if text is None:
        return None
    if found := SPAN.fullmatch(text.strip()):
        return datetime.now(UTC) + timedelta(**{UNITS[found[2]]: float(found[1])})
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise fail(f"{option} {text!r} is no time: write 90m, 2h, 1d or 2026-05-03T18:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def past_time(text: str | None, *, option: str) -> datetime | None:
    """Return the time that ``text`` means; a span counts back from now, and a time without an offset is UTC."""
    if text is None:
        return None
    if found := SPAN.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: float(found[1])})
    return point_in_time(text, option=option)
