"""Whether a stated confidence comes true, and how the window went over time: what the plots of a run show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reasoner.decisions import Thresholds
from reasoner.labelled_table import Flags, Floats, Labelled, LabelledTable
from reasoner.performance import Performance, perform

BINS = 10
SPANS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Tasks whose confidence lies in one tenth of [0, 1]."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean of the stated ones."""

    accuracy: float
    """Share that were right."""


def reliability(decisions: Labelled) -> list[ReliabilityBin]:
    """Return the bins that hold a task, lowest first; 1 belongs to the last."""
    table = LabelledTable.of(decisions)
    numbers = np.minimum((table.confidence * BINS).astype(np.int64), BINS - 1)
    return [
        _bin(int(number), table.confidence[numbers == number], table.right[numbers == number])
        for number in np.unique(numbers)
    ]


def _bin(number: int, confidences: Floats, right: Flags) -> ReliabilityBin:
    n = len(right)
    return ReliabilityBin(
        low=number / BINS,
        high=(number + 1) / BINS,
        n=n,
        confidence=math.fsum(confidences.tolist()) / n,
        accuracy=int(np.count_nonzero(right)) / n,
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error: sum over bins of n |confidence - accuracy| / n of all; 0 without any."""
    n = sum(one.n for one in bins)
    return math.fsum(one.n * abs(one.confidence - one.accuracy) for one in bins) / n if n else 0.0


def over_time(decisions: Labelled, thresholds: Thresholds) -> list[Performance]:
    """Return what the thresholds do in consecutive spans of equally many tasks, oldest first."""
    table = LabelledTable.of(decisions)
    n_spans = min(SPANS, len(table))
    cuts = [round(i * len(table) / n_spans) for i in range(n_spans + 1)] if n_spans else []
    return [perform(table.part(start, stop), thresholds) for start, stop in pairwise(cuts)]
