"""The calibrations in force: thresholds, weights of models, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, or_, select

from db.calibrations import IN_FORCE
from db.ledger import CalibrationRow
from reasoner.decisions import Mode, Thresholds
from worker.errors import StoreError
from worker.store.transactions import statements
from worker.weights import EQUAL, PoolWeights, weights_from_json

FIRST = UUID("00000000-0000-7000-8000-000000000001")
"""The calibration that the first migration seeds; SPREAD stays with it, since no labels are learned from there."""

FIRST_KEY = ("default", "first")
EVERYBODY = "default"


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
    """Return the active calibrations of ``tenants`` and of everybody, and the first one under ``FIRST_KEY``."""
    columns = CalibrationRow.__table__.c
    statement = select(CalibrationRow.__table__).where(
        or_(columns.status == "active", columns.id == FIRST), columns.tenant.in_([*tenants, EVERYBODY])
    )
    found: Calibrations = {}
    with statements(engine) as connection:
        for row in connection.execute(statement).mappings():
            calibration = as_calibration(dict(row))
            if row["status"] == "active":
                found[row["tenant"], row["domain"]] = calibration
            if row["id"] == FIRST:
                found[FIRST_KEY] = calibration
    return found


def calibrations_in_force(engine: Engine, *, tenant: str, as_of: datetime) -> Calibrations:
    """Return what was in force for a tenant at a time."""
    values = {"tenants": [tenant, EVERYBODY], "as_of": as_of}
    with statements(engine) as connection:
        rows = connection.execute(IN_FORCE, values).mappings().all()
    return {(row["tenant"], row["domain"]): as_calibration(dict(row)) for row in rows}


def calibration_for(
    calibrations: Calibrations, *, tenant: str, domain: str, mode: Mode = "merge"
) -> Calibration:
    """Return the calibration of the tenant's domain, else the tenant's fallback, else everybody's.

    For SPREAD it is the first one: its confidence is a score and no posterior, so what was learned in MERGE does not
    apply.

    Raises:
        StoreError: There is none at all; the first migration seeds one.
    """
    keys = ((tenant, domain), (tenant, ""), (EVERYBODY, ""))
    for key in keys if mode == "merge" else (FIRST_KEY, *keys):
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
