"""Months, and the ids that belong to them: an uuid7 begins with the milliseconds since the epoch."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
LAST_YEAR = 9998  # of ``datetime``, less one so that every month has a next one


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of the calendar, in UTC."""

    year: int
    month: int
    """1 to 12."""

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def suffix(self) -> str:
        """How its partitions' names end."""
        return f"{self.year:04}_{self.month:02}"

    @property
    def starts_at(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def first_id(self) -> UUID:
        """A bound below every uuid7 of it, and above those of the month before."""
        return id_at(self.starts_at)

    def plus(self, n_months: int) -> Month:
        """Return the month ``n_months`` later, or earlier when negative."""
        years, month = divmod(self.year * 12 + self.month - 1 + n_months, 12)
        return Month(years, month + 1)


def month_of(time: datetime) -> Month:
    """Return the month of an aware time."""
    utc = time.astimezone(UTC)
    return Month(utc.year, utc.month)


def id_at(time: datetime) -> UUID:
    """Return a bound below every uuid7 made at ``time`` or later, and above those made a millisecond earlier."""
    return UUID(int=((time - EPOCH) // MS) << 80)


def month_of_id(task_id: UUID) -> Month | None:
    """Return the month in which a uuid7 was made; None when the id is none, or of a time beyond the calendar."""
    if task_id.int >> 76 & 0xF != 7:  # the version; generators of tests don't always set the variant
        return None
    try:
        made_at = EPOCH + (task_id.int >> 80) * MS
    except OverflowError:
        return None
    return month_of(made_at) if made_at.year <= LAST_YEAR else None


def months_before(time: datetime, n_months: int) -> datetime:
    """Return the same day and hour ``n_months`` earlier, or the last day of a shorter month."""
    month = month_of(time).plus(-n_months)
    utc = time.astimezone(UTC)
    day = min(utc.day, calendar.monthrange(month.year, month.month)[1])
    return utc.replace(year=month.year, month=month.month, day=day)


def months_in(text: str) -> int | None:
    """Return the months of a span like ``12mo`` or ``2y``; None when it is none."""
    found = re.fullmatch(r"([1-9]\d{0,3})(mo|y)", text.strip())
    return None if found is None else int(found[1]) * (12 if found[2] == "y" else 1)
