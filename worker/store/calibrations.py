"""The calibrations in force: thresholds, weights of models, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, RowMapping, or_, select

from db.calibrations import IN_FORCE
from db.ledger import CalibrationRow
from reasoner.decisions import Mode, Thresholds
from worker.errors import StoreError
from worker.store.transactions import statements
from worker.weights import EQUAL, PoolWeights, weights_from_json

FIRST = UUID("00000000-0000-7000-8000-000000000001")
"""The calibration that the first migration seeds; SPREAD stays with it, since no labels are learned from there."""

FIRST_KEY = ("", "first")
"""Of no tenant: whoever has no calibration of their own begins with it, whatever others have learned since."""

FIRST_TENANT = "default"
"""In whose name it was seeded; once they have a fallback of their own, it is retired there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One calibration as decisions use it."""

    id: UUID
    domain: str
    thresholds: Thresholds
    weights: PoolWeights = EQUAL
    """Of the models whose chains a task may have."""

    method: str = "default"

    @property
    def was_fitted(self) -> bool:
        """Whether its thresholds came from labels."""
        return self.method != "default"


Calibrations = dict[tuple[str, str], Calibration]
"""By tenant and domain; an empty domain is the fallback of all."""


def active_calibrations(engine: Engine, tenants: set[str]) -> Calibrations:
    """Return the active calibrations of ``tenants``, and the first one under ``FIRST_KEY``."""
    columns = CalibrationRow.__table__.c
    is_active = (columns.status == "active") & columns.tenant.in_(tenants)
    statement = select(CalibrationRow.__table__, is_active.label("is_active")).where(
        or_(is_active, columns.id == FIRST)
    )
    with statements(engine) as connection:
        return _by_key(connection.execute(statement).mappings().all())


def calibrations_in_force(engine: Engine, *, tenant: str, as_of: datetime) -> Calibrations:
    """Return what was in force for a tenant at a time, and the first one under ``FIRST_KEY``."""
    values = {"tenant": tenant, "as_of": as_of, "first": FIRST}
    with statements(engine) as connection:
        return _by_key(connection.execute(IN_FORCE, values).mappings().all())


def _by_key(rows: Sequence[RowMapping]) -> Calibrations:
    found: Calibrations = {}
    for row in rows:
        calibration = as_calibration(dict(row))
        if row["is_active"]:
            found[row["tenant"], row["domain"]] = calibration
        if row["id"] == FIRST:
            found[FIRST_KEY] = calibration
    return found


def calibration_for(
    calibrations: Calibrations, *, tenant: str, domain: str, mode: Mode = "merge"
) -> Calibration:
    """Return the calibration of the tenant's domain, else the tenant's fallback, else the first of all.

    For SPREAD it is the first one at once: its confidence is a score and no posterior, so what was learned in MERGE
    does not apply.

    Raises:
        StoreError: There is none at all; the first migration seeds one.
    """
    keys = ((tenant, domain), (tenant, ""), FIRST_KEY)
    for key in keys if mode == "merge" else (FIRST_KEY,):
        if key in calibrations:
            return calibrations[key]
    raise StoreError(
        "no calibration is active; `merge-reasoner up` or `alembic upgrade head` seeds the first"
    )


def as_calibration(row: Mapping[str, Any]) -> Calibration:
    """Return a row as decisions use it."""
    return Calibration(
        id=row["id"],
        domain=row["domain"],
        thresholds=Thresholds(
            lambda_=row["lambda"],
            tau_margin=row["tau_margin"],
            tau_conf=row["tau_conf"],
            tau_score=row["tau_score"],
        ),
        weights=weights_from_json(row["model_weights"]),
        method=row["method"],
    )
