"""What a model's vote is worth, learned from labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reasoner.errors import InsufficientCalibrationDataError

PRIOR_LABELS = 20.0
"""How many labels the pool's own accuracy is worth: with fewer than that, weights stay near equal."""

SMALLEST = 0.05
"""No model is worth less than this part of the mean: a weight must be positive, and 0 would silence it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often a model was right."""

    right: int
    labelled: int


def fit_model_weights(
    records: Mapping[str, Record], *, n_rivals: float = 2.0, prior_labels: float = PRIOR_LABELS
) -> dict[str, float]:
    """Return weights of mean 1: log-odds of each model's accuracy, shrunk towards equal.

    w_m = ln(p_m / (1 - p_m)) + ln(n_rivals - 1): the weight under which a weighted vote of independent models
    is the most probable answer, when a wrong one falls on each of n_rivals - 1 wrong answers alike (for two
    rivals, the classical log-odds). p_m is shrunk towards the pool's accuracy by ``prior_labels`` labels. A
    model's weight depends on its own record and the pool's mean only, so that adding one needs no re-run.

    Args:
        records: Per model, in one domain.
        n_rivals: How many answers a question has in effect; open questions have many, and then a model that
            is right less than half of the time still has something to say.
        prior_labels: Strength of the shrinkage, in labels.

    Raises:
        InsufficientCalibrationDataError: No model has a label.
    """
    right = sum(record.right for record in records.values())
    labelled = sum(record.labelled for record in records.values())
    if not labelled:
        raise InsufficientCalibrationDataError("no model has a label")
    pooled = (right + 0.5) / (labelled + 1.0)
    odds = {model: _log_odds(record, pooled, prior_labels) for model, record in records.items()}
    raw = {model: value + math.log(max(n_rivals - 1.0, 1.0)) for model, value in odds.items()}
    mean = math.fsum(raw.values()) / len(raw)
    if mean <= 0.0:  # nobody better than chance: there is nothing to prefer by
        return dict.fromkeys(records, 1.0)
    floored = {model: max(value, SMALLEST * mean) for model, value in raw.items()}
    scale = len(floored) / math.fsum(floored.values())
    return {model: value * scale for model, value in floored.items()}


def _log_odds(record: Record, pooled: float, prior_labels: float) -> float:
    p = (record.right + prior_labels * pooled) / (record.labelled + prior_labels)
    return math.log(p / (1.0 - p))
