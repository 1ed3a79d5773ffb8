"""Counts of the whole queue, for the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from db import gauges
from worker.store.transactions import statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Tasks in one state, or turns of one verifier, that are not done."""

    name: str
    n: int
    oldest_s: float
    """Age of the one that was handed on first, in seconds."""

    held: int
    """By a worker, with a lease that runs."""

    lapsed: int
    """Leases that ran out: their workers died or lost the database."""

    redelivered: int
    """Taken more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the queue stands."""

    states: Sequence[Waiting]
    verifiers: Sequence[Waiting]
    calibrations: Sequence[tuple[str, str, float]]
    """Tenant, domain and age of each active calibration."""


def standing(engine: Engine) -> Standing:
    """Return how the queue stands.

    Raises:
        StoreUnavailableError: The database is away.
    """
    with statements(engine) as connection:
        states = connection.execute(gauges.STATES).all()
        verifiers = connection.execute(gauges.VERIFIERS).all()
        calibrations = connection.execute(gauges.CALIBRATIONS).all()
    return Standing(
        states=[Waiting(**dict(zip(Waiting.__slots__, row, strict=True))) for row in states],
        verifiers=[Waiting(**dict(zip(Waiting.__slots__, row, strict=True))) for row in verifiers],
        calibrations=[(row.tenant, row.domain, row.age_s) for row in calibrations],
    )
