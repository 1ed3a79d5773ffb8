"""The fitted merge: how probable each answer is, given which models gave it, learned from labels.

A conditional logit over the answers of a task and "none of them":

    P(c) = exp(u_c) / (exp(none) + sum over answers exp(u)),
    u_c = sum_m w_m s_mc + sum_{m<n} v_mn s_mc s_nc,

where s_mc is the share of model m's chains that gave answer c. The v are what accuracy-weighted votes lack:
two models that copy each other's errors earn a negative v, so that their agreement counts less than twice; and
"none" lets the posterior say that the truth is not among the answers. Convex, so the fit is a function of
its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from reasoner.errors import InsufficientCalibrationDataError

Support = Mapping[str, float]
"""Per model, the share of its chains that gave an answer; models that did not may be absent."""

Floats = NDArray[np.float64]

RIDGE = 3.0
"""Penalty on a model's distance from the mean weight: a prior of 0.4 nats around equal models."""

PAIR_RIDGE = 1.0
"""Penalty on a pair's weight: a prior of 0.7 nats around "they err independently"."""

WEAK = 0.05
"""Penalty on everything, "none" included: a prior of 3 nats, so that few labels never make certainty."""

MAX_STEPS = 100
TOLERANCE = 1e-12
"""Newton's method ends when a step would gain less than this, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTask:
    """The answers of one task, who gave each, and which was right."""

    supports: tuple[Support, ...]
    right: int | None
    """Position of the right answer; ``None`` when none was."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledAnswers:
    """Labelled tasks column by column; each has an answer at least."""

    models: tuple[str, ...]
    """Sorted; each gave an answer somewhere."""

    shares: Floats  # (answers, models), s_mc, one task's answers after the other's
    sizes: NDArray[np.int64]  # (tasks,): how many answers each has
    right: NDArray[np.int64]  # (tasks,): position of the right one, -1 when none was

    @classmethod
    def of(cls, tasks: Sequence[LabelledTask]) -> LabelledAnswers:
        """Return tasks that have answers as columns."""
        models = tuple(sorted({model for task in tasks for support in task.supports for model in support}))
        rows = [[support.get(model, 0.0) for model in models] for task in tasks for support in task.supports]
        return cls(
            models=models,
            shares=np.array(rows, dtype=np.float64).reshape(len(rows), len(models)),
            sizes=np.array([len(task.supports) for task in tasks], dtype=np.int64),
            right=np.array([-1 if task.right is None else task.right for task in tasks], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMerge:
    """Weights of models and of pairs of models, in nats."""

    models: tuple[str, ...]
    weights: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]
    none: float

    def posterior(self, supports: Sequence[Support]) -> list[float]:
        """Return P(c) of each answer; what is missing to 1 is the chance that none is right."""
        return self.shares_of([self.utility(support) for support in supports])

    def shares_of(self, utilities: Sequence[float]) -> list[float]:
        """Return P(c) of answers from their utilities."""
        top = max([self.none, *utilities])
        masses = [math.exp(u - top) for u in utilities]
        total = math.fsum([*masses, math.exp(self.none - top)])
        return [mass / total for mass in masses]

    def utility(self, support: Support) -> float:
        """Return u_c; a model the fit has not seen adds nothing."""
        single = math.fsum(self.weights.get(model, 0.0) * share for model, share in support.items())
        pairs = math.fsum(
            self.pairs.get((m, n), 0.0) * support[m] * support[n] for m, n in combinations(sorted(support), 2)
        )
        return single + pairs


def fit_merge(
    tasks: Sequence[LabelledTask],
    *,
    ridge: float = RIDGE,
    pair_ridge: float = PAIR_RIDGE,
    known: FittedMerge | None = None,
) -> FittedMerge:
    """Return the fit that makes the labels most probable, less the penalties times the squared weights.

    Model weights are drawn towards their mean (equal models), pair weights towards 0. The penalties are fixed
    and not tuned to the likelihood, which hardly cares: what decides a merge is whether a coalition outweighs
    the best model, and there the labels are few.

    Args:
        tasks: Labelled, of one domain; tasks without answers are skipped.
        ridge: Strength of the penalty on models, in nats per squared nat.
        pair_ridge: The same for pairs.
        known: A fit to extend: its weights and pairs stay as they are, and what is learned is the new models'
            weights, their pairs, and "none".

    Raises:
        InsufficientCalibrationDataError: No task has an answer.
    """
    usable = [task for task in tasks if task.supports]
    if not usable:
        raise InsufficientCalibrationDataError("no labelled task has an answer")
    return fit_answers(LabelledAnswers.of(usable), ridge=ridge, pair_ridge=pair_ridge, known=known)


def fit_answers(
    answers: LabelledAnswers,
    *,
    ridge: float = RIDGE,
    pair_ridge: float = PAIR_RIDGE,
    known: FittedMerge | None = None,
) -> FittedMerge:
    """Return the fit of ``fit_merge``."""
    models = answers.models
    n_pairs = math.comb(len(models), 2)
    strengths = np.array([ridge] * len(models) + [pair_ridge] * n_pairs + [0.0])
    theta = _minimise(_Design.of(answers), _penalty(strengths, len(models)), _fixed(models, known))
    values = [float(value) for value in theta]
    return FittedMerge(
        models=models,
        weights=dict(zip(models, values, strict=False)),
        pairs=dict(zip(combinations(models, 2), values[len(models) : -1], strict=True)),
        none=values[-1],
    )


def _fixed(models: tuple[str, ...], known: FittedMerge | None) -> list[float | None]:
    """Return the value of each parameter that is not to be learned; ``None`` for one that is."""
    if known is None:
        return [None] * (len(models) + math.comb(len(models), 2) + 1)
    single = [known.weights.get(model) for model in models]
    return [*single, *(known.pairs.get(pair) for pair in combinations(models, 2)), None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """All answers of all tasks, one row each, and after each task's answers a row for "none of them"."""

    features: Floats  # (rows, parameters); parameters are models, pairs, none
    starts: NDArray[np.intp]  # first row of each task
    sizes: NDArray[np.intp]
    right: Floats  # (rows,): 1 for what was right

    @classmethod
    def of(cls, answers: LabelledAnswers) -> _Design:
        n_models = len(answers.models)
        sizes = answers.sizes + 1
        starts = np.cumsum(sizes) - sizes
        none = starts + answers.sizes
        is_answer = np.ones(int(sizes.sum()), dtype=np.bool_)
        is_answer[none] = False
        pairs = [answers.shares[:, m] * answers.shares[:, n] for m, n in combinations(range(n_models), 2)]
        features = np.zeros((len(is_answer), n_models + len(pairs) + 1))
        features[is_answer, :-1] = np.column_stack([answers.shares, *pairs])
        features[none, -1] = 1.0
        right = np.zeros(len(is_answer))
        right[starts + np.where(answers.right < 0, answers.sizes, answers.right)] = 1.0
        return cls(features=features, starts=starts, sizes=sizes, right=right)

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Return the negative log-likelihood and each row's probability."""
        utility = self.features @ theta
        top = np.maximum.reduceat(utility, self.starts)
        mass = np.exp(utility - np.repeat(top, self.sizes))
        total = np.add.reduceat(mass, self.starts)
        loss = np.sum(top + np.log(total)) - self.right @ utility
        return float(loss), mass / np.repeat(total, self.sizes)

    def slope(self, chance: Floats) -> Floats:
        """Return the gradient of the loss, from each row's probability."""
        gradient: Floats = self.features.T @ (chance - self.right)
        return gradient

    def curvature(self, chance: Floats) -> Floats:
        """Return the Hessian of the loss: the covariance of the features, summed over the tasks."""
        weighted = self.features * chance[:, None]
        means = np.add.reduceat(weighted, self.starts, axis=0)
        hessian: Floats = self.features.T @ weighted - means.T @ means
        return hessian


def _penalty(strengths: Floats, n_models: int) -> Floats:
    """Return the matrix Q of the penalty theta' Q theta."""
    matrix = np.diag(strengths)
    matrix[:n_models, :n_models] -= strengths[0] / n_models  # the distance from the mean, not from 0
    return matrix + WEAK * np.eye(len(strengths))


def _minimise(design: _Design, penalty: Floats, fixed: Sequence[float | None]) -> Floats:
    """Return the parameters of least penalised loss, by Newton's method with halved steps; it is convex."""
    theta = np.array([value or 0.0 for value in fixed])
    free = np.array([value is None for value in fixed])
    loss, chance = design.loss(theta)
    loss += float(theta @ penalty @ theta)
    for _ in range(MAX_STEPS):
        slope = (design.slope(chance) + 2 * penalty @ theta)[free]
        curvature = (design.curvature(chance) + 2 * penalty)[np.ix_(free, free)]
        step = np.zeros_like(theta)
        step[free] = np.linalg.solve(curvature, slope)
        if float(slope @ step[free]) < TOLERANCE:
            break
        while True:
            tried = theta - step
            tried_loss, chance = design.loss(tried)
            tried_loss += float(tried @ penalty @ tried)
            if tried_loss <= loss or float(np.abs(step).max()) < TOLERANCE:
                break
            step /= 2
        theta, loss = tried, tried_loss
    return theta
