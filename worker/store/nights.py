"""Runs of the calibration: begun, written with their calibrations in one transaction, put in force, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, TextClause, insert
from uuid_utils.compat import uuid7

from db import calibrations
from db.ledger import CalibrationRow
from db.nights import FORM, CalibrationRunRow
from reasoner.decisions import Thresholds
from reasoner.verifier_rates import VerifierRates
from worker.errors import CalibrationBusyError, UnknownCalibrationError
from worker.store.calibrations import FIRST
from worker.store.rates import Measured, write_rates
from worker.store.texts import storable_json
from worker.store.transactions import statements, transaction

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCalibration:
    """A calibration to be written."""

    id: UUID
    domain: str
    method: str
    why: str
    """Why it may not come into force; empty when it may."""

    alpha: float
    target_risk: float
    window_from: datetime | None
    window_until: datetime | None
    n_labels: int
    thresholds: Thresholds
    model_weights: dict[str, Any]
    curve: dict[str, Any]
    drift: dict[str, Any]
    report: dict[str, Any]


@contextmanager
def only_run(engine: Engine, *, tenant: str) -> Iterator[None]:
    """Hold the tenant's lock: two runs at once would choose from each other's halves.

    Raises:
        CalibrationBusyError: Another run is at it.
    """
    with statements(engine) as connection:
        if not connection.execute(calibrations.TRY_LOCK, {"tenant": tenant}).scalar_one():
            raise CalibrationBusyError("another calibration of this tenant is running; wait for it to end")
        try:
            yield
        finally:
            connection.execute(calibrations.UNLOCK, {"tenant": tenant})


def now_known(engine: Engine) -> datetime:
    """Return the newest time up to which everything on record can be seen."""
    with statements(engine) as connection:
        found: datetime = connection.execute(calibrations.NOW_KNOWN).scalar_one()
    return found


def tenants_due(engine: Engine, *, at: str) -> list[str]:
    """Return the tenants with labels whose nightly run at ``at`` (HH:MM, UTC) has not been done."""
    with statements(engine) as connection:
        return list(connection.execute(calibrations.TENANTS_DUE, {"at": at}).scalars())


def begin_run(engine: Engine, *, tenant: str, as_of: datetime, policy: Mapping[str, Any], who: str) -> UUID:
    """Record that a run begins."""
    run_id = uuid7()
    values = {
        "id": run_id,
        "tenant": tenant,
        "as_of": as_of,
        "policy": dict(policy),
        "who": who,
        "form": FORM,
    }
    with transaction(engine) as connection:
        connection.execute(insert(CalibrationRunRow), values)
    return run_id


def fail_run(engine: Engine, run_id: UUID, error: BaseException) -> None:
    """Record that a run broke."""
    values = {"id": run_id, "error": f"{type(error).__name__}: {error}"[:2000], "counts": "{}"}
    with transaction(engine) as connection:
        connection.execute(calibrations.FINISH_RUN, values)


def finish_run(
    engine: Engine,
    run_id: UUID,
    new: Sequence[NewCalibration],
    rates: Mapping[Measured, VerifierRates],
    *,
    tenant: str,
    who: str,
    counts: Mapping[str, Any],
    activate: bool,
) -> None:
    """Write what the run found and put in force the calibrations that nothing speaks against: all of it or nothing.

    Args:
        engine: The database.
        run_id: From ``begin_run``.
        new: One for each domain.
        rates: Of the verifiers.
        tenant: Whose they are.
        who: Stands in the events.
        counts: What was looked at.
        activate: Otherwise they stay candidates, to be looked at by a person.
    """
    with transaction(engine) as connection:
        connection.execute(calibrations.LOCK_ACTIVATION, {"tenant": tenant})
        for one in new:
            _write(connection, one, run_id=run_id, tenant=tenant, who=who)
            if one.why:
                _set_status(connection, one.id, "rejected", who=who, why=one.why)
            elif activate:
                _put_in_force(connection, one.id, tenant=tenant, domain=one.domain, who=who, why="calibrated")
        write_rates(connection, rates, tenant=tenant, run_id=run_id)
        values = {"id": run_id, "error": None, "counts": json.dumps(storable_json(dict(counts)))}
        connection.execute(calibrations.FINISH_RUN, values)


def _write(connection: Connection, one: NewCalibration, *, run_id: UUID, tenant: str, who: str) -> None:
    values = {
        "id": one.id,
        "run_id": run_id,
        "tenant": tenant,
        "domain": one.domain,
        "method": one.method,
        "status": "candidate",
        "why": one.why,
        "alpha": one.alpha,
        "target_risk": one.target_risk,
        "window_from": one.window_from,
        "window_until": one.window_until,
        "n_labels": one.n_labels,
        "lambda": one.thresholds.lambda_,
        "tau_margin": one.thresholds.tau_margin,
        "tau_conf": one.thresholds.tau_conf,
        "tau_score": one.thresholds.tau_score,
        "model_weights": one.model_weights,
        "curve": one.curve,
        "drift": one.drift,
        "report": one.report,
    }
    connection.execute(insert(CalibrationRow), values)
    event = {"event_id": uuid7(), "id": one.id, "status": "candidate", "who": who, "why": ""}
    connection.execute(calibrations.FIRST_EVENT, event)


def _put_in_force(connection: Connection, id_: UUID, *, tenant: str, domain: str, who: str, why: str) -> None:
    active = connection.execute(calibrations.ACTIVE_ID, {"tenant": tenant, "domain": domain}).scalar()
    if active == id_:
        return
    if active is not None:
        _set_status(connection, active, "retired", who=who, why=why)
    _set_status(connection, id_, "active", who=who, why=why)


def _set_status(connection: Connection, id_: UUID, status: str, *, who: str, why: str) -> None:
    values = {"event_id": uuid7(), "id": id_, "status": status, "who": who, "why": why}
    connection.execute(calibrations.SET_STATUS, values)


def roll_back(engine: Engine, *, tenant: str, domain: str, who: str, to: UUID | None = None) -> UUID | None:
    """Put an older calibration of the domain in force again; return it, or ``None`` when the fallback serves now.

    Args:
        engine: The database.
        tenant: Whose.
        domain: Empty for the fallback of all domains.
        who: Stands in the events.
        to: Which one; the one that was in force before when left out.

    Raises:
        UnknownCalibrationError: Nothing is in force in the domain, or ``to`` was never in force there.
    """
    with transaction(engine) as connection:
        connection.execute(calibrations.LOCK_ACTIVATION, {"tenant": tenant})
        scope = {"tenant": tenant, "domain": domain}
        active = connection.execute(calibrations.ACTIVE_ID, scope).scalar()
        if to is None and active is None:
            raise UnknownCalibrationError(
                f"no calibration of {_named(domain)} is in force, so none can be taken back"
            )
        target = to or connection.execute(calibrations.BEFORE, {**scope, "active": active}).scalar()
        if target is None:
            if active == FIRST:
                raise UnknownCalibrationError("the first calibration is in force; there is none before it")
            assert active is not None  # noqa: S101 (excluded above)
            _set_status(connection, active, "retired", who=who, why="rolled back; the fallback serves")
            return None
        if to is not None:
            _require_of(connection, to, tenant=tenant, domain=domain)
        _put_in_force(connection, target, tenant=tenant, domain=domain, who=who, why="rolled back")
        return target


def activate(engine: Engine, id_: UUID, *, tenant: str, who: str) -> str:
    """Put a candidate in force and return its domain.

    Raises:
        UnknownCalibrationError: The tenant has no such calibration, or a guard rejected it.
    """
    with transaction(engine) as connection:
        connection.execute(calibrations.LOCK_ACTIVATION, {"tenant": tenant})
        row = _one(connection, id_, tenant=tenant)
        if row["status"] == "rejected":
            raise UnknownCalibrationError(f"calibration {id_} was rejected: {row['why']}")
        _put_in_force(
            connection, id_, tenant=tenant, domain=row["domain"], who=who, why="put in force by hand"
        )
        return str(row["domain"])


def _require_of(connection: Connection, id_: UUID, *, tenant: str, domain: str) -> None:
    row = _one(connection, id_, tenant=tenant)
    if row["domain"] != domain or row["status"] not in {"active", "retired"}:
        raise UnknownCalibrationError(
            f"calibration {id_} is {row['status']} and of {_named(row['domain'])}; "
            f"only one that was in force in {_named(domain)} can be gone back to"
        )


def _one(connection: Connection, id_: UUID, *, tenant: str) -> RowMapping:
    columns = CalibrationRow.__table__.c
    statement = CalibrationRow.__table__.select().where(columns.id == id_, columns.tenant == tenant)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise UnknownCalibrationError(f"no calibration {id_}; `merge-reasoner calibrate show` lists them")
    return row


def _named(domain: str) -> str:
    return f"domain {domain!r}" if domain else "all domains"


def get_calibration(engine: Engine, id_: UUID, *, tenant: str) -> Row:
    """Return one calibration as it stands in its row.

    Raises:
        UnknownCalibrationError: The tenant has no such calibration.
    """
    with statements(engine) as connection:
        return dict(_one(connection, id_, tenant=tenant))


def list_calibrations(engine: Engine, *, tenant: str, domain: str | None, active: bool, n: int) -> list[Row]:
    """Return calibrations, newest first: of all domains when ``domain`` is none, only those in force if asked."""
    values = {"tenants": [tenant], "domain": domain, "active": active, "n": n}
    return _rows(engine, calibrations.LIST, values)


def calibrations_of_run(engine: Engine, run_id: UUID) -> list[Row]:
    """Return the calibrations of a run by domain, the fallback first."""
    return _rows(engine, calibrations.OF_RUN, {"run_id": run_id})


def history(engine: Engine, *, tenant: str, domain: str, until: datetime) -> list[Row]:
    """Return what came into force in a domain, oldest first."""
    return _rows(engine, calibrations.HISTORY, {"tenant": tenant, "domain": domain, "until": until})


def get_run(engine: Engine, run_id: UUID, *, tenant: str) -> Row | None:
    """Return a run of the tenant."""
    return next(iter(_rows(engine, calibrations.RUN, {"tenant": tenant, "id": run_id})), None)


def last_run(engine: Engine, *, tenant: str) -> Row | None:
    """Return the run with the newest knowledge that ended well."""
    return next(iter(_rows(engine, calibrations.LAST_RUN, {"tenant": tenant})), None)


def run_as_of(engine: Engine, *, tenant: str, as_of: datetime) -> Row | None:
    """Return the run that knew exactly what was on record at ``as_of``."""
    return next(iter(_rows(engine, calibrations.RUN_AS_OF, {"tenant": tenant, "as_of": as_of})), None)


def _rows(engine: Engine, statement: TextClause, values: Mapping[str, Any]) -> list[Row]:
    with statements(engine) as connection:
        return [dict(row) for row in connection.execute(statement, dict(values)).mappings()]
