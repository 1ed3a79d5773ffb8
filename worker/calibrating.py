"""One night: everything labelled is graded, every domain fitted, and what passes its guards put in force.

A night is a function of what was on record at one time, of the policy and of what was in force then, so that any
past night can be had again, number by number.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from reasoner.bounds import consensus_bound, measure
from reasoner.candidate import Candidate, Fit, fit_candidate
from reasoner.drift import exchangeability
from reasoner.errors import InsufficientCalibrationDataError, ReasonerError
from reasoner.guards import Policy
from reasoner.reliability import calibration_error
from worker.errors import CalibrationError
from worker.grading import Pass, grade_due
from worker.judging.table import Judges
from worker.rating import rate_graded
from worker.refitting import Refitted, refit
from worker.store.calibrations import Calibration, Calibrations, calibration_for, calibrations_in_force
from worker.store.gradings import GradedRow, Window, graded_domains, graded_rows, labelled_lines, left_out
from worker.store.nights import (
    NewCalibration,
    begin_run,
    fail_run,
    finish_run,
    now_known,
    only_run,
    run_as_of,
)
from worker.store.rates import save_rates
from worker.store.transactions import Store
from worker.weights import weights_json

MAX_RATED = 2000
"""Tasks of a domain, the newest, whose verdicts are counted: enough for two digits of a verifier's rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do; with what was on record at its time, it decides every number."""

    policy: Policy = field(default_factory=Policy)
    window_days: float = 90.0
    max_labels: int = 20_000
    """Of one domain, the newest: more make no threshold better that anybody could see."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {**asdict(self.policy), "window_days": self.window_days, "max_labels": self.max_labels}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Return the plan of ``to_json``."""
        names = {one.name for one in fields(Policy)}
        return cls(
            policy=Policy(**{name: number for name, number in value.items() if name in names}),
            window_days=value["window_days"],
            max_labels=value["max_labels"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a run came to."""

    run_id: UUID | None
    """``None`` when nothing was written."""

    as_of: datetime
    plan: Plan
    calibrations: list[NewCalibration]
    counts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What one domain's fit is made in."""

    store: Store
    tenant: str
    window: Window
    plan: Plan
    in_force: Calibrations


def run_night(
    store: Store,
    judges: Judges,
    *,
    tenant: str,
    plan: Plan,
    who: str,
    domain: str | None = None,
    dry_run: bool = False,
    activate: bool = True,
) -> Night:
    """Run the calibration on all that is known now.

    Args:
        store: The database.
        judges: Compare answers with labels; stay the caller's to close.
        tenant: Whose labels.
        plan: What is asked for.
        who: Stands in the events.
        domain: Only this one; empty is the fallback of all domains.
        dry_run: Write nothing but gradings, which are no more than read labels.
        activate: Put in force what passes its guards.

    Raises:
        CalibrationBusyError: Another run of the tenant is at work.
        StoreUnavailableError: The database is away.
    """
    with only_run(store, tenant=tenant):
        as_of = now_known(store)
        if dry_run:
            graded = grade_due(store, judges, tenant=tenant)
            found, counts = _fit_all(store, tenant=tenant, plan=plan, as_of=as_of, domain=domain)
            return Night(
                run_id=None, as_of=as_of, plan=plan, calibrations=found, counts=_counts(counts, graded)
            )
        run_id = begin_run(store, tenant=tenant, as_of=as_of, policy=plan.to_json(), who=who)
        try:
            graded = grade_due(store, judges, tenant=tenant)
            found, counts = _fit_all(store, tenant=tenant, plan=plan, as_of=as_of, domain=domain)
            counts = _counts(counts, graded)
            _save_rates(store, tenant=tenant, plan=plan, as_of=as_of, domain=domain)
            finish_run(store, run_id, found, tenant=tenant, who=who, counts=counts, activate=activate)
        except Exception as error:
            fail_run(store, run_id, error)
            raise
    return Night(run_id=run_id, as_of=as_of, plan=plan, calibrations=found, counts=counts)


def reproduce(
    store: Store, judges: Judges, *, tenant: str, plan: Plan, as_of: datetime, domain: str | None = None
) -> Night:
    """Return the night of a past time, from what was on record then; nothing is written but gradings.

    A run that knew exactly that much lends its own plan.

    Raises:
        CalibrationError: ``as_of`` has not come yet.
        CalibrationBusyError: Another run of the tenant is at work.
    """
    with only_run(store, tenant=tenant):
        if as_of > now_known(store):
            raise CalibrationError(
                f"{as_of.isoformat()} has not come yet, so what it will know can't be told"
            )
        run = run_as_of(store, tenant=tenant, as_of=as_of)
        used = plan if run is None else Plan.from_json(run["policy"])
        graded = grade_due(store, judges, tenant=tenant)
        found, counts = _fit_all(store, tenant=tenant, plan=used, as_of=as_of, domain=domain)
    return Night(
        run_id=None if run is None else run["id"],
        as_of=as_of,
        plan=used,
        calibrations=found,
        counts=_counts(counts, graded),
    )


def _counts(counts: dict[str, Any], graded: Pass) -> dict[str, Any]:
    return {**counts, "graded": graded.graded, "ungradable": graded.ungradable}


def _window(tenant: str, plan: Plan, as_of: datetime) -> Window:
    return Window(
        tenant=tenant,
        as_of=as_of,
        starts_at=as_of - timedelta(days=plan.window_days),
        max_labels=plan.max_labels,
    )


def _fit_all(
    store: Store, *, tenant: str, plan: Plan, as_of: datetime, domain: str | None
) -> tuple[list[NewCalibration], dict[str, Any]]:
    """Return a calibration for the fallback and for each domain that has a label in the window."""
    window = _window(tenant, plan, as_of)
    place = _Place(
        store=store,
        tenant=tenant,
        window=window,
        plan=plan,
        in_force=calibrations_in_force(store, tenant=tenant, as_of=as_of),
    )
    without = left_out(store, window)
    domains = ["", *graded_domains(store, window)] if domain is None else [domain]
    found = []
    for one in domains:
        rows = graded_rows(store, window, domain=one)
        if rows or domain is not None:
            found.append(_fit(place, one, rows, without.get(one, {})))
    counts = {
        "domains": len(found),
        "labelled": max((one.n_labels for one in found), default=0),
        "left_out": without,
    }
    return found, counts


def _fit(place: _Place, domain: str, rows: Sequence[GradedRow], without: Mapping[str, int]) -> NewCalibration:
    plan, active = place.plan, calibration_for(place.in_force, tenant=place.tenant, domain=domain)
    own = place.in_force.get((place.tenant, domain))
    refitted = refit(place.store, rows, min_labels=plan.policy.min_labels)
    candidate = fit_candidate(
        refitted.decisions,
        plan.policy,
        active=active.thresholds,
        active_was_fitted=own is not None and own.was_fitted,
    )
    fingerprint = _fingerprint(rows)
    return NewCalibration(
        id=_calibration_id(place, domain, fingerprint),
        domain=domain,
        method="conformal" if plan.policy.conformal else "empirical",
        why=candidate.why,
        alpha=plan.policy.alpha,
        target_risk=plan.policy.target_risk,
        window_from=place.window.starts_at,
        window_until=place.window.as_of,
        n_labels=len(rows),
        thresholds=candidate.thresholds,
        model_weights=_weights_json(refitted),
        curve=_curve(candidate.fit),
        drift=_drift(candidate.fit),
        report=_report(candidate, refitted, active, rows, without) | {"fingerprint": fingerprint},
    )


def _fingerprint(rows: Sequence[GradedRow]) -> str:
    """Return what a run saw, in short: the same decisions and labels give the same one."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(row.decision_id.bytes + row.label_id.bytes)
    return hashed.hexdigest()[:32]


def _calibration_id(place: _Place, domain: str, fingerprint: str) -> UUID:
    """Return an id that is ordered by the night's time, and the same when the same night is fitted again."""
    content = [place.tenant, domain, place.window.as_of.isoformat(), place.plan.to_json(), fingerprint]
    rest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()[:10]
    milliseconds = int(place.window.as_of.timestamp() * 1000)
    number = int.from_bytes(milliseconds.to_bytes(6, "big") + rest, "big")
    number = number & ~(0xF << 76) | 0x8 << 76  # version 8: ours
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def _weights_json(refitted: Refitted) -> dict[str, Any]:
    if refitted.weights.fitted is None:
        return {}
    return weights_json(
        fitted=refitted.weights.fitted,
        model_weights=refitted.weights.model_weights,
        n_labelled=refitted.n_for_weights,
    )


def _curve(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {}
    return {
        "lambda": [asdict(point) for point in fit.curve],
        "risk": [asdict(point) for point in fit.risk_curve],
    }


def _drift(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {}
    return {"p_value": exchangeability(fit.drift), "tests": [asdict(test) for test in fit.drift]}


def _report(
    candidate: Candidate,
    refitted: Refitted,
    active: Calibration,
    rows: Sequence[GradedRow],
    without: Mapping[str, int],
) -> dict[str, Any]:
    fit = candidate.fit
    found: dict[str, Any] = {
        "n_for_weights": refitted.n_for_weights,
        "n_fit": candidate.n_fit,
        "n_held_out": candidate.n_held_out,
        "left_out": dict(without),
        "guards": [asdict(alarm) for alarm in candidate.alarms],
        "in_force": {"id": str(active.id), **asdict(active.thresholds)},
        "consensus": _consensus(rows[: refitted.n_for_weights + candidate.n_fit]),
    }
    if fit is None:
        return found
    certified = fit.certified
    return found | {
        "conformal_lambda": fit.conformal,
        "empirical_lambda": None if fit.empirical is None else asdict(fit.empirical),
        "ceiling": fit.ceiling,
        "certified": None
        if certified is None
        else {
            **asdict(certified),
            "answered_share": certified.answered_share,
            "risk": certified.risk,
            "risk_bound": certified.risk_bound,
        },
        "before": fit.before.to_json(),
        "after": fit.after.to_json(),
        "reliability": [asdict(one) for one in fit.reliability],
        "calibration_error": calibration_error(fit.reliability),
        "over_time": [span.to_json() for span in fit.over_time],
    }


def _consensus(rows: Sequence[GradedRow]) -> dict[str, Any] | None:
    """Return p and rho of a chain, and what they promise of a majority; ``None`` when they can't be told."""
    told = [[True] * len(row.right_chains) + [False] * len(row.wrong_chains) for row in rows]
    try:
        measured = measure(told)
        n = Counter(len(task) for task in told if task).most_common(1)[0][0]
        bound = consensus_bound(n, p=measured.p, rho=measured.rho)
    except (InsufficientCalibrationDataError, ReasonerError):
        return None
    return {**asdict(bound), "n_tasks": measured.n_tasks, "verdict": bound.verdict}


def _save_rates(store: Store, *, tenant: str, plan: Plan, as_of: datetime, domain: str | None) -> None:
    """Measure each verifier on the newest tasks of every domain."""
    window = replace(_window(tenant, plan, as_of), max_labels=MAX_RATED)
    domains = graded_domains(store, window) if domain is None else [domain] if domain else []
    rows = [row for one in domains for row in graded_rows(store, window, domain=one)]
    save_rates(store, rate_graded(labelled_lines(store, rows)), tenant=tenant)
