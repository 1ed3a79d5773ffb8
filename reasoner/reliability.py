"""Whether a stated confidence comes true, and how the window went over time: what the plots of a run show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reasoner.decisions import Thresholds
from reasoner.labelled_decision import LabelledDecision
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


def reliability(decisions: Sequence[LabelledDecision]) -> list[ReliabilityBin]:
    """Return the bins that hold a task, lowest first; 1 belongs to the last."""
    bins: dict[int, list[LabelledDecision]] = {}
    for decision in decisions:
        bins.setdefault(min(int(decision.confidence * BINS), BINS - 1), []).append(decision)
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            n=len(members),
            confidence=math.fsum(d.confidence for d in members) / len(members),
            accuracy=sum(d.right for d in members) / len(members),
        )
        for number, members in sorted(bins.items())
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error: sum over bins of n |confidence - accuracy| / n of all; 0 without any."""
    n = sum(one.n for one in bins)
    return math.fsum(one.n * abs(one.confidence - one.accuracy) for one in bins) / n if n else 0.0


def over_time(decisions: Sequence[LabelledDecision], thresholds: Thresholds) -> list[Performance]:
    """Return what the thresholds do in consecutive spans of equally many tasks, oldest first."""
    n_spans = min(SPANS, len(decisions))
    cuts = [round(i * len(decisions) / n_spans) for i in range(n_spans + 1)] if n_spans else []
    return [perform(decisions[start:stop], thresholds) for start, stop in pairwise(cuts)]
