"""Points in time as people write them, and those that nobody can mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from cli.times import age, past_age, past_time, point_in_time

NOW = datetime(2026, 5, 3, 18, tzinfo=UTC)


@pytest.mark.parametrize("text", ["999999w", "9999-12-31T23:59:00-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_out_of_reach_is_refused_with_the_option(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for read in (point_in_time, past_time):
        with pytest.raises(typer.Exit):
            read(text, option="--when")
    with pytest.raises(typer.Exit):
        age(text, now=NOW, option="--when")
    assert capsys.readouterr().err.count("--when") == 3


@pytest.mark.parametrize("text", ["9999y", "9999mo", "127y"])
def test_more_months_than_there_are_years_to_keep_are_refused(text: str) -> None:
    with pytest.raises(typer.Exit):
        age(text, now=NOW, option="--when")


def test_an_age_lies_in_the_past() -> None:
    assert past_age("2d", now=NOW, option="--when") == NOW - timedelta(days=2)
    assert past_age("126y", now=NOW, option="--when").year == 1900
    assert past_age("2026-05-03T18:00Z", now=NOW, option="--when") == NOW
    with pytest.raises(typer.Exit):
        past_age("2026-05-03T18:01Z", now=NOW, option="--when")
