"""What thresholds do on labelled decisions: coverage and size of sets, answered share, selective risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reasoner.decisions import Thresholds
from reasoner.labelled_decision import LabelledDecision
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
            **asdict(self),
            "coverage": self.coverage,
            "coverage_interval": _interval(self.n_covered, self.n_tasks),
            "mean_size": self.mean_size,
            "answered_share": self.answered_share,
            "answered_interval": _interval(self.n_answered, self.n_tasks),
            "selective_risk": self.selective_risk,
            "risk_interval": _interval(self.n_errors, self.n_answered),
        }


def perform(decisions: Sequence[LabelledDecision], thresholds: Thresholds) -> Performance:
    """Return what the thresholds would have done; sets are threshold sets, and an empty one abstains.

    A member of mass 0 is in no set: it was refuted or is underflow.
    """
    lambda_ = thresholds.lambda_
    answered = [d for d in decisions if is_answered(d, thresholds)]
    return Performance(
        n_tasks=len(decisions),
        n_covered=sum(d.of_truth > 0.0 and d.of_truth >= lambda_ for d in decisions),
        total_size=sum(p > 0.0 and p >= lambda_ for d in decisions for p in d.posterior),
        n_answered=len(answered),
        n_errors=sum(not d.right for d in answered),
    )


def is_answered(decision: LabelledDecision, thresholds: Thresholds) -> bool:
    """Return whether the task would be answered under the threshold set rule."""
    return (
        decision.answerable
        and decision.margin >= thresholds.tau_margin
        and decision.confidence >= thresholds.tau_conf
        and max(decision.posterior, default=0.0) >= thresholds.lambda_
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> Interval | None:
    return wilson_interval(part, whole) if whole else None
