"""One calibration of one domain: thresholds from labelled decisions, and whether they may come into force."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from reasoner.calibration import (
    LambdaPoint,
    Posteriors,
    RiskPoint,
    conformal_lambda,
    coverage_ceiling,
    lambda_table,
    risk_table,
)
from reasoner.decisions import Thresholds
from reasoner.drift import DriftTest, drift_tests
from reasoner.guards import (
    Alarm,
    Policy,
    bad_labels,
    ceiling_alarm,
    change_alarm,
    drift_alarm,
    held_out_alarms,
    risk_alarm,
    unknown_alarm,
)
from reasoner.labelled_table import Flags, Labelled, LabelledTable
from reasoner.performance import Performance, perform
from reasoner.reliability import ReliabilityBin, over_time, reliability
from reasoner.selective import Certified, certify, least_abstaining

CURVE_POINTS = 200
BY_COUNTS = {"ceiling", "risk", "drift", "held_out"}
"""Guards that count errors and misses."""

TARGETS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What was found on the fitted part, and what it does on the rest."""

    conformal: float
    empirical: LambdaPoint | None
    """The paper's lambda* (eq. 40); ``None`` when no lambda covers alpha."""

    certified: Certified | None
    ceiling: float
    before: Performance
    """Of the thresholds in force, on the held-out part."""

    after: Performance
    """Of the candidate's, on the same."""

    curve: list[LambdaPoint]
    risk_curve: list[RiskPoint]
    reliability: list[ReliabilityBin]
    over_time: list[Performance]
    drift: list[DriftTest]
    targets: list[Target]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a conformal lambda for another alpha would have covered on the held-out part."""

    alpha: float
    lambda_: float
    coverage: float
    mean_size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Thresholds and whatever speaks against them, or against those in force."""

    thresholds: Thresholds
    """Those in force where nothing could be fitted."""

    alarms: list[Alarm]
    n_fit: int
    n_held_out: int
    fit: Fit | None
    """``None`` when the labels forbade it."""

    contradicted: list[Alarm] = field(default_factory=list)
    """What the held-out part says against the thresholds in force; it keeps no candidate from taking their place."""

    @property
    def why(self) -> str:
        """Why it may not come into force; empty when it may."""
        return "; ".join(f"{alarm.guard}: {alarm.told}" for alarm in self.alarms)


def split(n: int, policy: Policy) -> int:
    """Return how many of n tasks in the order of time are fitted on; the rest is held out."""
    return n - int(n * policy.held_out)


def fit_candidate(
    decisions: Labelled,
    policy: Policy,
    *,
    active: Thresholds,
    active_was_fitted: bool,
    told: Flags | None = None,
) -> Candidate:
    """Return the candidate of these decisions; a function of them alone.

    lambda comes from the fitted part, tau_margin and tau_conf from the same part by selective-risk control: two
    promises, each with a guarantee of its own. Where lambda would be higher than tau_conf it is lowered to it, which
    can only raise coverage: an answer that is given is always in its set.

    Where it can't be told whether an answer is right, that is seldom by chance: words in the place of a number can't
    be compared with it, and are wrong. Left out, they would make every risk look lower than it is. So they count as
    wrong and their truth as missed, whichever it was: no error and no miss is counted too few, and both promises hold
    whatever the truth is.

    Args:
        decisions: In the order of time.
        policy: What is asked for.
        active: The thresholds in force.
        active_was_fitted: Whether they came from labels; a first guess does not bind what follows it.
        told: Of each decision, whether its label says if it is right; all do when left out.
    """
    table = LabelledTable.of(decisions)
    if told is None or told.all():
        return _fit(table, policy, active=active, active_was_fitted=active_was_fitted)
    found = _fit(table, policy, active=active, active_was_fitted=active_was_fitted, told=told)
    if not any(alarm.guard in BY_COUNTS for alarm in found.alarms):
        return found
    known = _fit(table.chosen(told), policy, active=active, active_was_fitted=active_was_fitted)
    anyway = {alarm.guard for alarm in known.alarms}
    n_untold = int(np.count_nonzero(~told))
    alarms = [
        unknown_alarm(alarm, n_untold=n_untold, n=len(table))
        if alarm.guard in BY_COUNTS and alarm.guard not in anyway
        else alarm
        for alarm in found.alarms
    ]
    return replace(found, alarms=alarms)


def _fit(
    table: LabelledTable,
    policy: Policy,
    *,
    active: Thresholds,
    active_was_fitted: bool,
    told: Flags | None = None,
) -> Candidate:
    cut = split(len(table), policy)
    alarms = bad_labels(table, policy, told=np.ones(len(table), dtype=np.bool_) if told is None else told)
    fit_part, held = table.part(0, cut), table.part(cut, len(table))
    before = perform(held, active)
    contradicted = held_out_alarms(before, policy) if active_was_fitted and len(held) else []
    if alarms:
        return Candidate(
            thresholds=active,
            alarms=alarms,
            n_fit=cut,
            n_held_out=len(held),
            fit=None,
            contradicted=contradicted,
        )
    tasks = fit_part.labelled.ascending()
    conformal = conformal_lambda(tasks, alpha=policy.alpha)
    lambdas = lambda_table(tasks)
    empirical = lambdas.cheapest(alpha=policy.alpha, size_cost=policy.size_cost)
    lambda_ = conformal if policy.conformal or empirical is None else empirical.lambda_
    certified = least_abstaining(
        certify(fit_part, target_risk=policy.target_risk, delta=policy.delta), lambda_=lambda_
    )
    found = _thresholds(active, lambda_, certified)
    drift = drift_tests(table)
    after = perform(held, found)
    short = [ceiling_alarm(fit_part, policy), None if certified else risk_alarm(cut, policy)]
    fired = [*short, drift_alarm(drift, policy)]
    if not any(short):  # what was not promised on the fitted part is not asked of the held-out one
        fired += [
            *held_out_alarms(after, policy),
            change_alarm(found, active, policy) if active_was_fitted else None,
        ]
    alarms = [alarm for alarm in fired if alarm is not None]
    fit = Fit(
        conformal=conformal,
        empirical=empirical,
        certified=certified,
        ceiling=coverage_ceiling(tasks),
        before=before,
        after=after,
        curve=[lambdas.point(i) for i in _thinned(len(lambdas.lambda_))],
        risk_curve=_risk_curve(fit_part),
        reliability=reliability(held),
        over_time=over_time(table, found),
        drift=drift,
        targets=[_target(tasks, held, alpha) for alpha in TARGETS],
    )
    return Candidate(
        thresholds=found,
        alarms=alarms,
        n_fit=cut,
        n_held_out=len(held),
        fit=fit,
        contradicted=contradicted,
    )


def _thresholds(active: Thresholds, lambda_: float, certified: Certified | None) -> Thresholds:
    if certified is None:
        return replace(active, lambda_=min(lambda_, 1.0))
    return replace(
        active,
        lambda_=min(lambda_, certified.tau_conf),
        tau_margin=certified.tau_margin,
        tau_conf=certified.tau_conf,
    )


def _target(fit: Posteriors, held: LabelledTable, alpha: float) -> Target:
    lambda_ = conformal_lambda(fit, alpha=alpha)
    done = perform(held, Thresholds(lambda_=lambda_))
    return Target(
        alpha=alpha, lambda_=lambda_, coverage=done.coverage or 0.0, mean_size=done.mean_size or 0.0
    )


def _risk_curve(table: LabelledTable) -> list[RiskPoint]:
    """Return the curve over all tasks; one that could never be answered comes last."""
    found = risk_table(np.where(table.answerable, table.confidence, 0.0), table.right & table.answerable)
    return [found.point(i) for i in _thinned(len(found))]


def _thinned(n_points: int) -> list[int]:
    """Return which of the points are kept: at most ``CURVE_POINTS``, the first and the last among them."""
    if n_points <= CURVE_POINTS:
        return list(range(n_points))
    step = (n_points - 1) / (CURVE_POINTS - 1)
    return [round(i * step) for i in range(CURVE_POINTS)]
