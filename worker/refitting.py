"""Weights of the models of a domain, and its window decided again under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reasoner.ballot_table import BallotTable
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import FittedMerge
from reasoner.labelled_table import Flags, LabelledTable
from reasoner.model_weights import fit_model_weights
from worker.store.windows import GradedTable
from worker.weights import EQUAL, PoolWeights

FIRST_PART = 1 / 3
"""The oldest part of a window of several models is for their weights; thresholds are chosen on the rest, since on what
the weights were fitted to, the posterior looks better than it is."""

DIGITS = 6
"""Weights are rounded, so that a sum taken in another order leaves no trace in any decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refitted:
    """A domain's window as the thresholds are to see it."""

    weights: PoolWeights
    decisions: LabelledTable
    told: Flags
    """Of each decision whether it is known if it is right."""

    n_for_weights: int
    """Tasks, the oldest of those that are told, that went into the weights."""

    n_before: int
    """Tasks before the first of the decisions: those, and the untold among them."""


def refit(table: GradedTable, *, min_labels: int) -> Refitted:
    """Return the weights and the rest of the window decided under them.

    Args:
        table: In the order of decision; one without ballots keeps the decisions as they were made.
        min_labels: Fewer tasks of several models teach no weights.
    """
    ballots = table.ballots
    if ballots is None:
        return Refitted(weights=EQUAL, decisions=table.labelled, told=table.told, n_for_weights=0, n_before=0)
    told = table.told[table.has_ballot]
    known = ballots if told.all() else ballots.chosen(told)
    cut = int(len(known) * FIRST_PART)
    weights = fit_weights(known.part(0, cut)) if table.n_models > 1 and cut >= min_labels else EQUAL
    # Weights promise nothing, and learn from what is told; thresholds are chosen on all that came after it.
    cut = 0 if weights is EQUAL else cut
    first = int(np.flatnonzero(told)[cut - 1]) + 1 if cut else 0
    decisions = ballots.part(first, len(ballots)).decided(weights.fitted)
    return Refitted(
        weights=weights, decisions=decisions, told=told[first:], n_for_weights=cut, n_before=first
    )


def fit_weights(ballots: BallotTable) -> PoolWeights:
    """Return the fitted merge and the factor of each model, or equal weights where the labels teach nothing."""
    try:
        return PoolWeights(
            fitted=_rounded(ballots.fit()),
            model_weights={m: round(w, DIGITS) for m, w in fit_model_weights(ballots.records()).items()},
        )
    except InsufficientCalibrationDataError:
        return EQUAL


def _rounded(fitted: FittedMerge) -> FittedMerge:
    return FittedMerge(
        models=fitted.models,
        weights={model: round(weight, DIGITS) for model, weight in fitted.weights.items()},
        pairs={pair: round(weight, DIGITS) for pair, weight in fitted.pairs.items()},
        none=round(fitted.none, DIGITS),
    )
