"""What a calibration found, as the JSON values of its row."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reasoner.bounds import consensus_bound, measure_counts
from reasoner.candidate import Candidate, Fit
from reasoner.drift import exchangeability
from reasoner.errors import ReasonerError
from reasoner.reliability import calibration_error
from worker.refitting import Refitted
from worker.store.calibrations import Calibration
from worker.store.windows import GradedTable
from worker.weights import weights_json


def weights_of(refitted: Refitted) -> dict[str, Any]:
    """Return the fitted weights of the models; empty when all weigh the same."""
    if refitted.weights.fitted is None:
        return {}
    return weights_json(
        fitted=refitted.weights.fitted,
        model_weights=refitted.weights.model_weights,
        n_labelled=refitted.n_for_weights,
    )


def curve_of(fit: Fit | None) -> dict[str, Any]:
    """Return the curves over lambda and over confidence."""
    if fit is None:
        return {}
    return {
        "lambda": [point.to_json() for point in fit.curve],
        "risk": [point.to_json() for point in fit.risk_curve],
    }


def drift_of(fit: Fit | None) -> dict[str, Any]:
    """Return the tests of drift and the p-value they come to."""
    if fit is None:
        return {}
    return {"p_value": exchangeability(fit.drift), "tests": [asdict(test) for test in fit.drift]}


def report_of(
    candidate: Candidate,
    refitted: Refitted,
    active: Calibration,
    table: GradedTable,
) -> dict[str, Any]:
    """Return everything else: guards, promises, performance before and after on the held-out part."""
    fit = candidate.fit
    found: dict[str, Any] = {
        "n_for_weights": refitted.n_for_weights,
        "n_fit": candidate.n_fit,
        "n_held_out": candidate.n_held_out,
        "guards": [asdict(alarm) for alarm in candidate.alarms],
        "in_force": {"id": str(active.id), **asdict(active.thresholds)},
        "consensus": _consensus(table, refitted.n_before + candidate.n_fit),
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
        "targets": [asdict(one) for one in fit.targets],
        "calibration_error": calibration_error(fit.reliability),
        "over_time": [span.to_json() for span in fit.over_time],
    }


def _consensus(table: GradedTable, n_tasks: int) -> dict[str, Any] | None:
    """Return p and rho of a chain of the oldest tasks, and what they promise of a majority; ``None`` without any."""
    told = table.told[:n_tasks]
    right = table.n_right[:n_tasks][told]
    chains = right + table.n_wrong[:n_tasks][told]
    try:
        measured = measure_counts(right, chains)
        bound = consensus_bound(_most_common(chains[chains > 0]), p=measured.p, rho=measured.rho)
    except ReasonerError:
        return None
    return {**asdict(bound), "n_tasks": measured.n_tasks, "verdict": bound.verdict}


def _most_common(numbers: NDArray[np.int32]) -> int:
    """Return the commonest; of several, the one that came first."""
    values, firsts, counts = np.unique(numbers, return_index=True, return_counts=True)
    return int(values[np.lexsort((firsts, -counts))[0]])
