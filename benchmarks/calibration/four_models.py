"""Before and after a calibration on real chains: GSM8K answered by four models, one chain each.

Run: python -m benchmarks.calibration.four_models --data FOLDER --out build/calibration
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.method.data import arguments, four_models
from benchmarks.method.results import save
from reasoner.candidate import Candidate, fit_candidate, split
from reasoner.chains import Chain
from reasoner.decisions import Decision, Thresholds
from reasoner.fitted import FittedMerge, fit_merge
from reasoner.fitted_decision import fitted_merge
from reasoner.guards import Policy
from reasoner.labelled_decision import LabelledDecision
from reasoner.merge import forward_merge
from reasoner.performance import Performance
from reasoner.pool import PoolTask, labelled_task

ORDERS = 100
POLICY = Policy(alpha=0.6, target_risk=0.15, delta=0.1, max_change=1.0)
FIRST_PART = 1 / 3  # for the weights, as at night (worker/refitting.py)

Decide = Callable[[PoolTask], Decision]


def chains(task: PoolTask) -> list[Chain]:
    """Return one chain per model."""
    return [Chain(index=i, answer=a, model=m) for i, (m, a) in enumerate(sorted(task.answers.items()))]


def as_labelled(task: PoolTask, decision: Decision) -> LabelledDecision:
    """Return the decision as thresholds see it."""
    rights = [cluster.answer == task.truth for cluster in decision.clusters]
    return LabelledDecision(
        posterior=tuple(cluster.posterior for cluster in decision.clusters),
        truth=rights.index(True) if True in rights else None,
        confidence=decision.confidence,
        margin=decision.vote_margin,
        right=bool(rights) and rights[0],
        answerable=bool(rights),
    )


def equal(_weights: Sequence[PoolTask]) -> Decide:
    """Return MERGE with one vote for each model."""
    return lambda task: forward_merge(
        chains(task), thresholds=Thresholds(lambda_=0, tau_margin=0, tau_conf=0)
    )


def fitted(tasks: Sequence[PoolTask]) -> Decide:
    """Return MERGE with weights fitted on ``tasks``."""
    models = sorted(tasks[0].answers)
    fit: FittedMerge = fit_merge([labelled_task(task, models) for task in tasks])
    return lambda task: fitted_merge(
        chains(task), fitted=fit, thresholds=Thresholds(lambda_=0, tau_margin=0, tau_conf=0)
    )


def night(tasks: Sequence[PoolTask], how: Callable[[Sequence[PoolTask]], Decide]) -> Candidate:
    """Return the candidate of a window: the oldest third for weights, then thresholds, the newest part held out."""
    cut = int(len(tasks) * FIRST_PART)
    decide = how(tasks[:cut])
    rows = [as_labelled(task, decide(task)) for task in tasks[cut:]]
    return fit_candidate(rows, POLICY, active=Thresholds(), active_was_fitted=False)


def shares(done: Performance) -> dict[str, float]:
    """Return the four numbers of the table; the risk of nobody answered is NaN."""
    risk = done.selective_risk
    return {
        "coverage": done.coverage or 0.0,
        "mean size": done.mean_size or 0.0,
        "answered": done.answered_share or 0.0,
        "risk": math.nan if risk is None else risk,
    }


def averaged(tasks: Sequence[PoolTask], how: Callable[[Sequence[PoolTask]], Decide]) -> dict[str, Any]:
    """Return the means over random orders of the rows, each order being one history of labels."""
    before: list[dict[str, float]] = []
    after: list[dict[str, float]] = []
    guards: dict[str, int] = {}
    lambdas = []
    for seed in range(ORDERS):
        order = np.random.default_rng(seed).permutation(len(tasks))
        found = night([tasks[i] for i in order], how)
        for alarm in found.alarms:
            guards[alarm.guard] = guards.get(alarm.guard, 0) + 1
        assert found.fit is not None
        before.append(shares(found.fit.before))
        if not found.alarms:
            after.append(shares(found.fit.after))
            lambdas.append(found.thresholds.lambda_)
    means = {name: _mean([row[name] for row in before]) for name in before[0]}
    return {
        "before": means,
        "after": {name: _mean([row[name] for row in after]) for name in before[0]},
        "in force": len(after),
        "guards": guards,
        "risk above target": sum(row["risk"] > POLICY.target_risk for row in after),
        "lambda": _mean(lambdas),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values))


def main() -> None:
    """Measure and save the numbers."""
    given = arguments(__doc__).parse_args()
    tasks = four_models(given.data)
    cut = int(len(tasks) * FIRST_PART)
    n_fit = split(len(tasks) - cut, POLICY)
    ambitious = fit_candidate(
        [as_labelled(t, equal([])(t)) for t in tasks],
        Policy(alpha=0.9, target_risk=0.15),
        active=Thresholds(),
        active_was_fitted=False,
    )
    save(
        given.out,
        "four_models",
        {
            "rows": len(tasks),
            "orders": ORDERS,
            "alpha": POLICY.alpha,
            "target risk": POLICY.target_risk,
            "delta": POLICY.delta,
            "for weights, fit, held out": [cut, n_fit, len(tasks) - cut - n_fit],
            "one vote each": averaged(tasks, equal),
            "fitted weights": averaged(tasks, fitted),
            "alpha 0.9": ambitious.why,
        },
    )


if __name__ == "__main__":
    main()
