"""The thresholds in force."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, select

from db.ledger import CalibrationRow
from reasoner.decisions import Thresholds
from worker.errors import StoreError
from worker.store.transactions import statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One calibration as decisions use it."""

    id: UUID
    domain: str
    thresholds: Thresholds


def active_calibrations(engine: Engine, tenants: set[str]) -> dict[tuple[str, str], Calibration]:
    """Return the active calibrations of ``tenants`` and of everybody, by (tenant, domain)."""
    columns = CalibrationRow.__table__.c
    statement = select(CalibrationRow.__table__).where(
        columns.status == "active", columns.tenant.in_([*tenants, "default"])
    )
    found: dict[tuple[str, str], Calibration] = {}
    with statements(engine) as connection:
        for row in connection.execute(statement).mappings():
            found[row["tenant"], row["domain"]] = Calibration(
                id=row["id"],
                domain=row["domain"],
                thresholds=Thresholds(
                    lambda_=row["lambda"],
                    tau_margin=row["tau_margin"],
                    tau_conf=row["tau_conf"],
                    tau_score=row["tau_score"],
                ),
            )
    return found


def calibration_for(
    calibrations: dict[tuple[str, str], Calibration], *, tenant: str, domain: str
) -> Calibration:
    """Return the calibration of the tenant's domain, else the tenant's fallback, else everybody's.

    Raises:
        StoreError: There is none at all; the first migration seeds one.
    """
    for key in ((tenant, domain), (tenant, ""), ("default", "")):
        if key in calibrations:
            return calibrations[key]
    raise StoreError(
        "no calibration is active; `merge-reasoner up` or `alembic upgrade head` seeds the first"
    )
