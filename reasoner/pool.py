"""A report on several models that answered the same tasks: who agrees, who errs alike, which subset is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from reasoner.bounds import effective_chains
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import LabelledTask, fit_merge

MAX_SUBSET_MODELS = 6
"""Every subset of up to so many models is fitted (63 fits); of a larger pool only single ones and pairs."""

FOLDS = 5
MIN_LABELLED = 30
"""Fewer labels are no ground for comparing subsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTask:
    """One task as the pool saw it."""

    answers: Mapping[str, str | None]
    """Per model, its answer in normal form; a model that did not take part is absent."""

    truth: str | None = None
    """The right answer in normal form; ``None`` when there is no label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """One model's record."""

    model: str
    answered: int
    labelled: int
    right: int
    accuracy: float | None
    """Of the labelled tasks it took part in, a missing answer being wrong; ``None`` without labels."""

    interval: tuple[float, float] | None
    """Wilson's 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementLevel:
    """Tasks whose largest group of agreeing models has so many members."""

    models_agreeing: int
    n_tasks: int
    labelled: int
    accuracy: float | None
    """Of the largest group's answer; groups of one size share the credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetReport:
    """A subset of the pool, merged with weights fitted on other tasks."""

    models: tuple[str, ...]
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """What the pool's records say; without labels only who agrees with whom."""

    models: tuple[ModelReport, ...]
    agreement: tuple[tuple[float, ...], ...]
    """Share of tasks, of those both took part in, with equal answers; in the order of ``models``."""

    error_correlation: tuple[tuple[float, ...], ...] | None
    """Correlation (phi) of two models' errors."""

    rho: float | None
    """Mean error correlation over the pairs."""

    effective_voters: float | None
    """n / (1 + (n - 1) rho)."""

    levels: tuple[AgreementLevel, ...]
    ceiling: float | None
    """Share of labelled tasks that any model got right: no merge of answers does better."""

    subsets: tuple[SubsetReport, ...]
    """Best first; equal ones, the smaller first."""

    n_tasks: int
    n_labelled: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return asdict(self)


def pool_report(tasks: Sequence[PoolTask]) -> PoolReport:
    """Return the report; labels are used where they exist.

    Subsets are compared out of sample: five folds, every fifth task, weights fitted on the other four.

    Raises:
        InsufficientCalibrationDataError: There is no task, or no model.
    """
    models = tuple(sorted({model for task in tasks for model in task.answers}))
    if not models:
        raise InsufficientCalibrationDataError("a pool report needs at least one task with a model's answer")
    labelled = [task for task in tasks if task.truth is not None]
    correlation = (
        _matrix(models, lambda m, n: _error_correlation(labelled, m, n), diagonal=1.0) if labelled else None
    )
    rho = _mean_off_diagonal(correlation) if correlation else None
    return PoolReport(
        models=tuple(_model_report(model, tasks, labelled) for model in models),
        agreement=_matrix(models, lambda m, n: _agreement(tasks, m, n), diagonal=1.0),
        error_correlation=correlation,
        rho=rho,
        effective_voters=None if rho is None else effective_chains(len(models), rho),
        levels=_levels(tasks),
        ceiling=_share([task.truth in task.answers.values() for task in labelled]),
        subsets=_subsets(models, labelled),
        n_tasks=len(tasks),
        n_labelled=len(labelled),
    )


def effective_rivals(labelled: Sequence[PoolTask]) -> float:
    """Return how many answers a question has in effect: 1 + 1 / P(two wrong models give the same answer)."""
    same = pairs = 0
    for task in labelled:
        wrong = [answer for answer in task.answers.values() if answer not in {None, task.truth}]
        pairs += math.comb(len(wrong), 2)
        same += sum(math.comb(wrong.count(answer), 2) for answer in set(wrong))
    return 1.0 + pairs / max(same, 1)


def wilson_interval(right: int, n: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of a share of right answers (95 % by default).

    Raises:
        InsufficientCalibrationDataError: ``n`` is 0.
    """
    if not n:
        raise InsufficientCalibrationDataError("an interval needs at least one label")
    p, zz = right / n, z * z
    middle = (p + zz / (2 * n)) / (1 + zz / n)
    half = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def labelled_task(task: PoolTask, models: Sequence[str]) -> LabelledTask:
    """Return the task as the fitted merge sees it, with one chain per model; answers in text order."""
    groups = _groups(task, models)
    return LabelledTask(
        supports=tuple(dict.fromkeys(members, 1.0) for members in groups.values()),
        right=next((i for i, answer in enumerate(groups) if answer == task.truth), None),
    )


def _groups(task: PoolTask, models: Sequence[str]) -> dict[str, list[str]]:
    """Return the models that gave each answer."""
    groups: dict[str, list[str]] = {}
    for model in models:
        answer = task.answers.get(model)
        if answer is not None:
            groups.setdefault(answer, []).append(model)
    return dict(sorted(groups.items()))


def _model_report(model: str, tasks: Sequence[PoolTask], labelled: Sequence[PoolTask]) -> ModelReport:
    tried = [task for task in labelled if model in task.answers]
    right = sum(task.answers[model] == task.truth for task in tried)
    return ModelReport(
        model=model,
        answered=sum(task.answers.get(model) is not None for task in tasks),
        labelled=len(tried),
        right=right,
        accuracy=right / len(tried) if tried else None,
        interval=wilson_interval(right, len(tried)) if tried else None,
    )


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _matrix(
    models: Sequence[str], cell: Callable[[str, str], float], *, diagonal: float
) -> tuple[tuple[float, ...], ...]:
    known = {pair: cell(*pair) for pair in combinations(models, 2)}
    return tuple(tuple(diagonal if m == n else known[min(m, n), max(m, n)] for n in models) for m in models)


def _mean_off_diagonal(matrix: Sequence[Sequence[float]]) -> float:
    cells = [matrix[i][j] for j in range(len(matrix)) for i in range(j)]
    return math.fsum(cells) / len(cells) if cells else 0.0


def _agreement(tasks: Sequence[PoolTask], m: str, n: str) -> float:
    both = [task.answers for task in tasks if m in task.answers and n in task.answers]
    return sum(a[m] is not None and a[m] == a[n] for a in both) / len(both) if both else 0.0


def _error_correlation(labelled: Sequence[PoolTask], m: str, n: str) -> float:
    """Return phi of the two models' correctness; 0 when one of them never or always errs."""
    both = [task for task in labelled if m in task.answers and n in task.answers]
    if not both:
        return 0.0
    of_m = sum(task.answers[m] == task.truth for task in both) / len(both)
    of_n = sum(task.answers[n] == task.truth for task in both) / len(both)
    joint = sum(task.answers[m] == task.answers[n] == task.truth for task in both) / len(both)
    spread = math.sqrt(of_m * (1 - of_m) * of_n * (1 - of_n))
    return (joint - of_m * of_n) / spread if spread else 0.0


def _levels(tasks: Sequence[PoolTask]) -> tuple[AgreementLevel, ...]:
    by_level: dict[int, list[tuple[bool, float]]] = {}
    for task in tasks:
        groups = _groups(task, sorted(task.answers))
        largest = max((len(members) for members in groups.values()), default=0)
        leaders = [answer for answer, members in groups.items() if len(members) == largest]
        credit = (task.truth in leaders) / len(leaders) if leaders else 0.0
        by_level.setdefault(largest, []).append((task.truth is not None, credit))
    return tuple(_level(size, by_level[size]) for size in sorted(by_level))


def _level(size: int, seen: Sequence[tuple[bool, float]]) -> AgreementLevel:
    earned = [credit for is_labelled, credit in seen if is_labelled]
    return AgreementLevel(
        models_agreeing=size,
        n_tasks=len(seen),
        labelled=len(earned),
        accuracy=math.fsum(earned) / len(earned) if earned else None,
    )


def _subsets(models: Sequence[str], labelled: Sequence[PoolTask]) -> tuple[SubsetReport, ...]:
    if len(labelled) < MIN_LABELLED:
        return ()
    largest = len(models) if len(models) <= MAX_SUBSET_MODELS else 2
    subsets = [subset for size in range(1, largest + 1) for subset in combinations(models, size)]
    reports = [SubsetReport(models=s, accuracy=_subset_accuracy(s, labelled)) for s in subsets]
    return tuple(sorted(reports, key=lambda one: (-one.accuracy, len(one.models), one.models)))


def _subset_accuracy(models: Sequence[str], labelled: Sequence[PoolTask]) -> float:
    tasks = [labelled_task(task, models) for task in labelled]
    right = 0
    for fold in range(FOLDS):
        rest = [task for i, task in enumerate(tasks) if i % FOLDS != fold]
        if not any(task.supports for task in rest):
            continue  # none of these models ever answered
        fitted = fit_merge(rest)
        for task in tasks[fold::FOLDS]:
            posterior = fitted.posterior(task.supports)
            right += bool(posterior) and posterior.index(max(posterior)) == task.right
    return right / len(tasks)
