"""Points in time that every part can hold: Postgres knows years that Python does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
"""Before every row that can be read; older databases hold rows from before ``EARLIEST``."""

WHY_NOT = f"lies outside the years {EARLIEST.year} to {LATEST.year}"


def in_reach(time: datetime) -> bool:
    """Return whether a time with its offset can be kept, read and reckoned with."""
    return EARLIEST <= time <= LATEST


def _checked(time: datetime) -> datetime:
    if not in_reach(time):
        raise ValueError(f"{WHY_NOT}: give the time that was meant")
    return time


PointInTime = Annotated[AwareDatetime, AfterValidator(_checked)]
"""Of a line that somebody writes."""
