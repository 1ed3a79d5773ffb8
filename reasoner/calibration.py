"""What thresholds are learned from: conformal and empirical lambda, and the risk-coverage curve.

*Coverage* is of sets, the share of tasks whose set contains the truth; *answered share* is the share of tasks
not abstained from, and *selective risk* the error rate among those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from reasoner.errors import InsufficientCalibrationDataError, InvalidRuleError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPosterior:
    """A task's posterior and where the truth stood in it."""

    posterior: tuple[float, ...]
    truth: int | None
    """Position of the truth; ``None`` when no chain gave it."""

    @property
    def of_truth(self) -> float:
        """Posterior of the truth; 0 when it was not among the answers."""
        return 0.0 if self.truth is None else self.posterior[self.truth]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posteriors:
    """The posteriors of many tasks."""

    masses: Floats
    """Of all answers of all tasks."""

    of_truth: Floats
    """Of each task's truth; 0 when it was not among the answers."""

    @classmethod
    def of(cls, tasks: Tasks) -> Posteriors:
        """Return the tasks' posteriors; what are posteriors already is returned as it is."""
        if isinstance(tasks, Posteriors):
            return tasks
        return cls(
            masses=np.array([p for task in tasks for p in task.posterior], dtype=np.float64),
            of_truth=np.array([task.of_truth for task in tasks], dtype=np.float64),
        )

    def ascending(self) -> Posteriors:
        """Return the same in ascending order, which whoever looks for a quantile again and again finds sooner."""
        return Posteriors(masses=np.sort(self.masses), of_truth=np.sort(self.of_truth))

    def __len__(self) -> int:
        return len(self.of_truth)


Tasks = Posteriors | Sequence[LabelledPosterior]


def conformal_quantile(scores: Sequence[float] | Floats, *, alpha: float) -> float:
    """Return the ceil((n + 1) alpha)-th smallest score: a new exchangeable one is <= it with chance >= alpha.

    Infinity when n is too small for alpha to be promised, n + 1 < 1 / (1 - alpha).

    Raises:
        InsufficientCalibrationDataError: There is no score.
        InvalidRuleError: ``alpha`` outside (0, 1), or a score is NaN.
    """
    if not len(scores):
        raise InsufficientCalibrationDataError("a quantile needs at least one labelled decision")
    if not 0.0 < alpha < 1.0:
        raise InvalidRuleError(f"alpha must lie inside (0, 1), not {alpha}")
    found = np.asarray(scores, dtype=np.float64)
    if np.isnan(found).any():
        raise InvalidRuleError("a score is NaN")
    rank = math.ceil((len(found) + 1) * alpha - 1e-9)  # 10 * 0.9 is 9, whatever floats make of it
    return float(np.partition(found, rank - 1)[rank - 1]) if rank <= len(found) else math.inf


def conformal_lambda(tasks: Tasks, *, alpha: float) -> float:
    """Return the lambda whose threshold set covers the truth with chance >= alpha (split conformal).

    lambda is the conformal quantile of the truth's posterior, from below. It is 0, everything, when n is too
    small or when the truth is missing from the answers too often: then only ``coverage_ceiling`` tells whether
    alpha can be reached at all.

    Raises:
        InsufficientCalibrationDataError: There is no task.
        InvalidRuleError: ``alpha`` outside (0, 1).
    """
    quantile = conformal_quantile(-Posteriors.of(tasks).of_truth, alpha=alpha)
    return max(0.0, -quantile) if math.isfinite(quantile) else 0.0


def coverage_ceiling(tasks: Tasks) -> float:
    """Return the share of tasks whose truth is among the answers: no lambda covers more.

    Raises:
        InsufficientCalibrationDataError: There is no task.
    """
    if not len(tasks):
        raise InsufficientCalibrationDataError("coverage needs at least one labelled decision")
    return int(np.count_nonzero(Posteriors.of(tasks).of_truth > 0.0)) / len(tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaPoint:
    """What one lambda would have done."""

    lambda_: float
    coverage: float
    mean_size: float

    def risk(self, size_cost: float) -> float:
        """Return the empirical R: share of truths missed plus ``size_cost`` times the mean set size."""
        return 1.0 - self.coverage + size_cost * self.mean_size

    def to_json(self) -> dict[str, float]:
        """Return JSON values; there are hundreds in a night, and ``asdict`` takes its time."""
        return {"lambda_": self.lambda_, "coverage": self.coverage, "mean_size": self.mean_size}


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaTable:
    """What every lambda where a set changes would have done; arrays of one length, lambda ascending from 0."""

    lambda_: Floats
    coverage: Floats
    mean_size: Floats

    def point(self, i: int) -> LambdaPoint:
        """Return the i-th."""
        return LambdaPoint(
            lambda_=float(self.lambda_[i]),
            coverage=float(self.coverage[i]),
            mean_size=float(self.mean_size[i]),
        )

    def cheapest(self, *, alpha: float, size_cost: float) -> LambdaPoint | None:
        """Return what ``empirical_lambda`` does."""
        feasible = np.flatnonzero(self.coverage >= alpha)
        if not len(feasible):
            return None
        risk = 1.0 - self.coverage[feasible] + size_cost * self.mean_size[feasible]
        return self.point(int(feasible[np.flatnonzero(risk == risk.min())[-1]]))


def lambda_table(tasks: Tasks) -> LambdaTable:
    """Return coverage and mean set size at every lambda where a set changes, 0 included.

    A member of mass 0 is in no set, not even at lambda 0: it was underflow or refuted.

    Raises:
        InsufficientCalibrationDataError: There is no task.
    """
    if not len(tasks):
        raise InsufficientCalibrationDataError("a curve needs at least one labelled decision")
    found = Posteriors.of(tasks)
    masses = np.sort(found.masses[found.masses > 0.0])
    truths = np.sort(found.of_truth[found.of_truth > 0.0])
    lambdas = np.unique(np.concatenate([[0.0], masses]))
    return LambdaTable(
        lambda_=lambdas,
        coverage=(len(truths) - np.searchsorted(truths, lambdas)) / len(tasks),
        mean_size=(len(masses) - np.searchsorted(masses, lambdas)) / len(tasks),
    )


def lambda_curve(tasks: Tasks) -> list[LambdaPoint]:
    """Return the points of ``lambda_table``, lambda ascending.

    Raises:
        InsufficientCalibrationDataError: There is no task.
    """
    table = lambda_table(tasks)
    return [table.point(i) for i in range(len(table.lambda_))]


def empirical_lambda(tasks: Tasks, *, alpha: float, size_cost: float = 0.3) -> LambdaPoint | None:
    """Return argmin R subject to empirical coverage >= alpha (eq. 40), the largest lambda of equals.

    The cost of a member is held fixed (the paper's 0.3) while lambda, where the set is cut, varies. Were the cost
    to vary with it, as eq. 40 can be read, lambda = 0 would always win: it makes members free. ``None`` when
    no lambda reaches alpha (the coverage ceiling). Without finite-sample correction it is optimistic: see
    ``conformal_lambda``.

    Raises:
        InsufficientCalibrationDataError: There is no task.
    """
    return lambda_table(tasks).cheapest(alpha=alpha, size_cost=size_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPoint:
    """Answering every task whose confidence is at least ``confidence``."""

    confidence: float
    answered_share: float
    selective_risk: float

    def to_json(self) -> dict[str, float]:
        """Return JSON values."""
        return {
            "confidence": self.confidence,
            "answered_share": self.answered_share,
            "selective_risk": self.selective_risk,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskTable:
    """The risk at every confidence where it can change; arrays of one length, highest confidence first."""

    confidence: Floats
    answered: NDArray[np.int64]
    errors: NDArray[np.int64]
    n_tasks: int

    def __len__(self) -> int:
        return len(self.confidence)

    def point(self, i: int) -> RiskPoint:
        """Return the i-th."""
        answered = int(self.answered[i])
        return RiskPoint(
            confidence=float(self.confidence[i]),
            answered_share=answered / self.n_tasks,
            selective_risk=int(self.errors[i]) / answered,
        )


def risk_table(
    confidences: Sequence[float] | Floats, correct: Sequence[bool] | NDArray[np.bool_]
) -> RiskTable:
    """Return the selective risk at every confidence where it can change.

    Equal confidences are answered together or not at all, since no threshold can part them.

    Raises:
        InsufficientCalibrationDataError: There is no task.
        InvalidRuleError: The two differ in length, or a confidence is NaN.
    """
    found, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if len(found) != len(right):
        raise InvalidRuleError(f"{len(found)} confidences for {len(right)} tasks")
    if not len(right):
        raise InsufficientCalibrationDataError("a curve needs at least one labelled decision")
    if np.isnan(found).any():
        raise InvalidRuleError("a confidence is NaN")
    order = np.argsort(-found, kind="stable")
    ranked = found[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], [True]))  # of each group of equals
    errors = np.cumsum(~right[order])
    return RiskTable(
        confidence=ranked[last],
        answered=(last + 1).astype(np.int64),
        errors=errors[last].astype(np.int64),
        n_tasks=len(right),
    )


def risk_coverage_curve(
    confidences: Sequence[float] | Floats, correct: Sequence[bool] | NDArray[np.bool_]
) -> list[RiskPoint]:
    """Return the points of ``risk_table``, highest confidence first.

    Raises:
        InsufficientCalibrationDataError: There is no task.
        InvalidRuleError: The two differ in length, or a confidence is NaN.
    """
    table = risk_table(confidences, correct)
    return [table.point(i) for i in range(len(table))]


def aurc(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """Return the area under the risk-coverage curve: mean selective risk of the i most confident, i = 1..n.

    Equal confidences count as in random order: of j tasks out of a group, its error rate times j are wrong.

    Raises:
        InsufficientCalibrationDataError: There is no task.
        InvalidRuleError: The two differ in length, or a confidence is NaN.
    """
    risks, answered, errors = [], 0, 0.0
    for _, group in _by_confidence(confidences, correct):
        rate = 1.0 - sum(group) / len(group)
        for _ in group:
            answered += 1
            errors += rate
            risks.append(errors / answered)
    return math.fsum(risks) / len(risks)


def selective_accuracy(
    confidences: Sequence[float], correct: Sequence[bool], *, answered_share: float
) -> float:
    """Return the accuracy among the most confident ``answered_share`` of tasks, at least one of them.

    Where the cut falls into a group of equal confidence, the group's accuracy stands for its part.

    Raises:
        InsufficientCalibrationDataError: There is no task.
        InvalidRuleError: ``answered_share`` outside (0, 1], lengths differ, or a confidence is NaN.
    """
    if not 0.0 < answered_share <= 1.0:
        raise InvalidRuleError(f"an answered share lies in (0, 1], not {answered_share}")
    wanted = max(1, round(answered_share * len(correct)))
    left, right = wanted, 0.0
    for _, group in _by_confidence(confidences, correct):
        taken = min(left, len(group))
        right += taken * sum(group) / len(group)
        left -= taken
    return right / wanted


def _by_confidence(confidences: Sequence[float], correct: Sequence[bool]) -> list[tuple[float, list[bool]]]:
    if len(confidences) != len(correct):
        raise InvalidRuleError(f"{len(confidences)} confidences for {len(correct)} tasks")
    if not correct:
        raise InsufficientCalibrationDataError("a curve needs at least one labelled decision")
    if any(math.isnan(confidence) for confidence in confidences):
        raise InvalidRuleError("a confidence is NaN")
    ranked = sorted(zip(confidences, correct, strict=True), key=lambda pair: -pair[0])
    return [
        (confidence, [right for _, right in group])
        for confidence, group in groupby(ranked, key=lambda pair: pair[0])
    ]
