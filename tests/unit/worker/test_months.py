"""Months and the ids of their tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from worker.months import MS, Month, id_at, month_of, month_of_id, months_before

times = st.datetimes(datetime(1971, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (bounds)


@given(time=times, tail=st.integers(0, (1 << 80) - 1))
def test_every_id_of_a_month_stands_between_its_bounds(time: datetime, tail: int) -> None:
    bits = (id_at(time).int | tail) & ~(0xF << 76) | 7 << 76
    made = UUID(int=bits)
    month = month_of(time)
    assert month.first_id <= id_at(time) <= made < month.plus(1).first_id
    assert month_of_id(made) == month
    assert made < id_at(time + MS)


@given(time=times, n=st.integers(0, 600))
def test_going_back_some_months_lands_in_that_month(time: datetime, n: int) -> None:
    if month_of(time).plus(-n) < Month(1, 1):
        return
    earlier = months_before(time, n)
    assert month_of(earlier) == month_of(time).plus(-n)
    assert earlier.day <= time.day
    assert timedelta() <= time - earlier <= timedelta(days=31 * n)


def test_the_last_day_of_a_long_month_becomes_the_last_of_a_short_one() -> None:
    assert months_before(datetime(2026, 3, 31, 5, tzinfo=UTC), 1) == datetime(2026, 2, 28, 5, tzinfo=UTC)


def test_an_id_made_now_belongs_to_this_month() -> None:
    before = month_of(datetime.now(UTC))
    assert month_of_id(uuid7()) in {before, before.plus(1)}


@pytest.mark.parametrize(
    "stranger", [uuid4(), UUID(int=(1 << 128) - 1), UUID(int=(0xFFFFFFFFFFFF << 80) | 7 << 76)]
)
def test_an_id_of_no_time_belongs_to_no_month(stranger: UUID) -> None:
    assert month_of_id(stranger) is None


def test_months_are_written_and_ordered_as_in_a_calendar() -> None:
    assert str(Month(2026, 1)) == "2026-01"
    assert Month(2025, 12).plus(1) == Month(2026, 1)
    assert Month(2026, 1).plus(-1) == Month(2025, 12)
    assert Month(2025, 12) < Month(2026, 1)
