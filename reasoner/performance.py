"""What thresholds do on labelled decisions: coverage and size of sets, answered share, selective risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reasoner.decisions import Thresholds
from reasoner.labelled_table import Flags, Labelled, LabelledTable
from reasoner.pool import wilson_interval

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Counts of one set of thresholds on one set of tasks, and the shares they come to."""

    n_tasks: int
    n_covered: int
    """Tasks whose threshold set holds the truth."""

    total_size: int
    """Members of all sets together."""

    n_answered: int
    n_errors: int
    """Answered tasks whose answer is wrong."""

    @property
    def coverage(self) -> float | None:
        """Share of tasks whose set holds the truth; ``None`` without tasks."""
        return _share(self.n_covered, self.n_tasks)

    @property
    def mean_size(self) -> float | None:
        """Mean size of the sets."""
        return _share(self.total_size, self.n_tasks)

    @property
    def answered_share(self) -> float | None:
        """Share of tasks not abstained from."""
        return _share(self.n_answered, self.n_tasks)

    @property
    def selective_risk(self) -> float | None:
        """Error rate among the answered; ``None`` when none is."""
        return _share(self.n_errors, self.n_answered)

    def to_json(self) -> dict[str, Any]:
        """Return counts, shares and the 95 % (Wilson) intervals of the shares."""
        return {
            "n_tasks": self.n_tasks,
            "n_covered": self.n_covered,
            "total_size": self.total_size,
            "n_answered": self.n_answered,
            "n_errors": self.n_errors,
            "coverage": self.coverage,
            "coverage_interval": _interval(self.n_covered, self.n_tasks),
            "mean_size": self.mean_size,
            "answered_share": self.answered_share,
            "answered_interval": _interval(self.n_answered, self.n_tasks),
            "selective_risk": self.selective_risk,
            "risk_interval": _interval(self.n_errors, self.n_answered),
        }


def perform(decisions: Labelled, thresholds: Thresholds) -> Performance:
    """Return what the thresholds would have done; sets are threshold sets, and an empty one abstains.

    A member of mass 0 is in no set: it was refuted or is underflow.
    """
    table, lambda_ = LabelledTable.of(decisions), thresholds.lambda_
    answered = is_answered(table, thresholds)
    return Performance(
        n_tasks=len(table),
        n_covered=int(np.count_nonzero((table.of_truth > 0.0) & (table.of_truth >= lambda_))),
        total_size=int(np.count_nonzero((table.masses > 0.0) & (table.masses >= lambda_))),
        n_answered=int(np.count_nonzero(answered)),
        n_errors=int(np.count_nonzero(answered & ~table.right)),
    )


def is_answered(table: LabelledTable, thresholds: Thresholds) -> Flags:
    """Return of each decision whether it would be answered under the threshold set rule."""
    found: Flags = (
        table.answerable
        & (table.margin >= thresholds.tau_margin)
        & (table.confidence >= thresholds.tau_conf)
        & (table.top >= thresholds.lambda_)
    )
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> Interval | None:
    return wilson_interval(part, whole) if whole else None
