"""Settings: what cannot work is refused by name, and passwords are never shown."""

from __future__ import annotations

import pytest

from worker.errors import ConfigurationError
from worker.settings import Settings


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e400"])
def test_a_span_that_is_no_positive_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MERGEREASONER_LEASE_S must be above 0"):
        Settings.from_env({"MERGEREASONER_LEASE_S": value})


@pytest.mark.parametrize(
    "url",
    ["u:secret", "mysql://u:secret@h/d", "postgresql://u:secret@h:port/d", "postgresql://u:secret@[h/d"],
)
def test_a_broken_database_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env({"DATABASE_URL": url})
    assert "secret" not in str(refused.value)


def test_urls_stay_out_of_the_representation() -> None:
    settings = Settings.from_env(
        {"DATABASE_URL": "postgresql://u:secret@h/d", "BROKER_URL": "redis://:secret@h"}
    )
    assert "secret" not in repr(settings)


def test_a_broker_of_another_kind_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="must begin with one of redis://") as refused:
        Settings.from_env({"BROKER_URL": "amqp://u:secret@h"})
    assert "secret" not in str(refused.value)
