"""One night: everything labelled is graded, every domain fitted, and what passes its guards put in force.

A night is a function of what was on record at one time, of the policy and of what was in force then, so that any
past night can be had again, number by number.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from reasoner.candidate import fit_candidate
from worker.errors import CalibrationBusyError, CalibrationError, UnknownCalibrationError
from worker.findings import curve_of, drift_of, report_of, weights_of
from worker.grading import Pass, grade_due
from worker.judging.table import Judges
from worker.plans import Plan
from worker.rating import Rates, add_up
from worker.refitting import refit
from worker.store.calibrations import Calibrations, calibration_for, calibrations_in_force
from worker.store.nights import (
    NewCalibration,
    begin_run,
    fail_run,
    finish_run,
    get_calibration,
    now_known,
    only_run,
    run_as_of,
    tenants_due,
)
from worker.store.rates import rates_of_run
from worker.store.transactions import Store
from worker.store.windows import GradedTable, Window, graded_domains, graded_table, left_out, verdict_counts

N_READERS = 2
"""Windows that are read at once, while another is worked on."""

MAX_RATED = 2000
"""Tasks of a domain, the newest, whose verdicts are counted: enough for two digits of a verifier's rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a run came to."""

    run_id: UUID | None
    """``None`` when nothing was written."""

    as_of: datetime
    plan: Plan
    calibrations: list[NewCalibration]
    rates: Rates
    """Of each verifier, on the newest graded tasks of each domain."""

    counts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is on record at one time comes to."""

    calibrations: list[NewCalibration]
    rates: Rates
    counts: dict[str, Any]

    def night(self, *, run_id: UUID | None, as_of: datetime, plan: Plan, graded: Pass) -> Night:
        return Night(
            run_id=run_id,
            as_of=as_of,
            plan=plan,
            calibrations=self.calibrations,
            rates=self.rates,
            counts={**self.counts, **asdict(graded)},
        )


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
    due_at: str | None = None,
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
        due_at: Only when the night of this time of the day has not been run; see ``tenants_due``.

    Raises:
        CalibrationBusyError: Another run of the tenant is at work, or has just done what was due.
        StoreUnavailableError: The database is away.
    """
    with only_run(store, tenant=tenant):
        if due_at is not None and tenant not in tenants_due(store, at=due_at):
            raise CalibrationBusyError(f"the night of {tenant} has been run meanwhile")
        as_of = now_known(store)
        if dry_run:
            graded = grade_due(store, judges, tenant=tenant)
            found = _fit_all(store, tenant=tenant, plan=plan, as_of=as_of, domain=domain)
            return found.night(run_id=None, as_of=as_of, plan=plan, graded=graded)
        run_id = begin_run(store, tenant=tenant, as_of=as_of, policy=plan.to_json(), who=who)
        try:
            graded = grade_due(store, judges, tenant=tenant)
            found = _fit_all(store, tenant=tenant, plan=plan, as_of=as_of, domain=domain)
            made = found.night(run_id=run_id, as_of=as_of, plan=plan, graded=graded)
            finish_run(
                store,
                run_id,
                made.calibrations,
                made.rates,
                tenant=tenant,
                who=who,
                counts=made.counts,
                activate=activate,
            )
        except Exception as error:
            fail_run(store, run_id, error)
            raise
    return made


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
        found = _fit_all(store, tenant=tenant, plan=used, as_of=as_of, domain=domain)
    return found.night(run_id=None if run is None else run["id"], as_of=as_of, plan=used, graded=graded)


def _window(tenant: str, plan: Plan, as_of: datetime) -> Window:
    return Window(
        tenant=tenant,
        as_of=as_of,
        starts_at=as_of - timedelta(days=plan.window_days),
        max_labels=plan.max_labels,
    )


def _fit_all(store: Store, *, tenant: str, plan: Plan, as_of: datetime, domain: str | None) -> _Found:
    """Return a calibration for the fallback and for each domain that has a label in the window."""
    window = _window(tenant, plan, as_of)
    place = _Place(
        store=store,
        tenant=tenant,
        window=window,
        plan=plan,
        in_force=calibrations_in_force(store, tenant=tenant, as_of=as_of),
    )
    known = graded_domains(store, window)
    untold = left_out(store, window)
    # Told of the run: a calibration's report counts what could have taught it.
    n_spread = sum(grades.pop("spread", 0) for grades in untold.values())
    untold = {name: grades for name, grades in untold.items() if grades}
    wanted = ["", *known] if domain is None else [domain]
    newest = replace(window, max_labels=MAX_RATED)
    rated = known if domain is None else [domain] if domain else []
    found = []
    with ThreadPoolExecutor(N_READERS, thread_name_prefix="read-window") as readers:
        windows = _windows(readers, store, window, wanted, untold=untold if plan.counts_untold else {})
        told = readers.submit(verdict_counts, store, newest, rated)
        for one, table in windows:
            if len(table) or domain is not None:
                found.append(_fit(place, one, table, untold))
        rates = add_up(told.result())
    counts: dict[str, Any] = {
        "domains": len(found),
        "labelled": max((one.n_labels for one in found), default=0),
        "untold" if plan.counts_untold else "left_out": untold,
        "spread": n_spread,
        "contradicted": {one.domain: said for one in found if one.why and (said := _contradicted(one))},
    }
    return _Found(
        calibrations=found,
        rates=rates,
        counts=counts if domain is None else {**counts, "only": domain},
    )


def _windows(
    readers: Executor,
    store: Store,
    window: Window,
    domains: Sequence[str],
    *,
    untold: Collection[str],
) -> Iterator[tuple[str, GradedTable]]:
    """Begin to read, and return each domain's window; the next ones are read while one is worked on.

    Args:
        readers: Who read.
        store: The database.
        window: What is looked at.
        domains: Whose; the empty one is all of them.
        untold: Domains in which it can't be told of some decisions whether they are right, and that is to be counted.
    """

    def read(domain: str) -> Future[GradedTable]:
        with_untold = domain in untold if domain else bool(untold)
        return readers.submit(graded_table, store, window, domain=domain, with_untold=with_untold)

    coming = deque(map(read, domains[:N_READERS]))

    def each() -> Iterator[tuple[str, GradedTable]]:
        for i, one in enumerate(domains):
            found = coming.popleft().result()
            coming.extend(map(read, domains[i + N_READERS : i + N_READERS + 1]))
            yield one, found

    return each()


def _fit(
    place: _Place, domain: str, table: GradedTable, untold: Mapping[str, Mapping[str, int]]
) -> NewCalibration:
    plan = place.plan
    active = calibration_for(place.in_force, tenant=place.tenant, domain=domain)
    own = place.in_force.get((place.tenant, domain))
    refitted = refit(table, min_labels=plan.policy.min_labels)
    candidate = fit_candidate(
        refitted.decisions,
        plan.policy,
        active=active.thresholds,
        active_was_fitted=own is not None and own.was_fitted,
        told=refitted.told,
    )
    counted: dict[str, Any]
    if plan.counts_untold:
        of = [untold.get(domain, {})] if domain else untold.values()
        counted = {
            "untold": dict(sum(map(Counter, of), Counter[str]())),
            "contradicted": [alarm.told for alarm in candidate.contradicted],
        }
    else:
        counted = {"left_out": dict(untold.get(domain, {}))}
    # What a run saw, in short: the same decisions and labels give the same one.
    fingerprint = hashlib.sha256(table.ids).hexdigest()[:32]
    return NewCalibration(
        id=_calibration_id(place, domain, fingerprint),
        domain=domain,
        method="conformal" if plan.policy.conformal else "empirical",
        why=candidate.why,
        alpha=plan.policy.alpha,
        target_risk=plan.policy.target_risk,
        window_from=place.window.starts_at,
        window_until=place.window.as_of,
        n_labels=int(np.count_nonzero(table.told)),
        thresholds=candidate.thresholds,
        model_weights=weights_of(refitted),
        curve=curve_of(candidate.fit),
        drift=drift_of(candidate.fit),
        report=report_of(candidate, refitted, active, table) | counted | {"fingerprint": fingerprint},
    )


def _contradicted(one: NewCalibration) -> str:
    """Return what the newest labels say against the thresholds that were in force; empty when nothing."""
    return "; ".join(one.report.get("contradicted", []))


def _calibration_id(place: _Place, domain: str, fingerprint: str) -> UUID:
    """Return an id that is ordered by the night's time, and the same when the same night is fitted again."""
    content = [place.tenant, domain, place.window.as_of.isoformat(), place.plan.to_json(), fingerprint]
    rest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()[:10]
    milliseconds = int(place.window.as_of.timestamp() * 1000)
    number = int.from_bytes(milliseconds.to_bytes(6, "big") + rest, "big")
    number = number & ~(0xF << 76) | 0x8 << 76  # version 8: ours
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def as_recorded(store: Store, found: NewCalibration, *, tenant: str) -> bool | None:
    """Return whether a calibration made again equals the one on record; ``None`` when there is none of its id."""
    try:
        row = get_calibration(store, found.id, tenant=tenant)
    except UnknownCalibrationError:
        return None
    made = {
        "lambda": found.thresholds.lambda_,
        "tau_margin": found.thresholds.tau_margin,
        "tau_conf": found.thresholds.tau_conf,
        "tau_score": found.thresholds.tau_score,
        "n_labels": found.n_labels,
        "model_weights": found.model_weights,
        "curve": found.curve,
        "drift": found.drift,
        "report": found.report,
    }
    again = json.loads(json.dumps(made))  # tuples become lists, as in the row
    return all(row[name] == value for name, value in again.items())


def rates_as_recorded(store: Store, night: Night, *, tenant: str) -> bool | None:
    """Return whether the verifiers' rates equal those the run wrote; ``None`` when it did not write any."""
    if night.run_id is None:
        return None
    recorded = rates_of_run(store, night.run_id, tenant=tenant)
    return recorded == night.rates if recorded or not night.rates else None
