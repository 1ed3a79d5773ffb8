"""Proper scores of a stated distribution against the truth, as losses: lower is better (Theorem 14)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Score = Callable[[Sequence[float], int], float]
"""Loss of stating ``posterior`` when position ``truth`` is true."""


def log_loss(posterior: Sequence[float], truth: int) -> float:
    """Return -ln q_truth, in nats; infinity when the truth was given no chance."""
    return -math.log(posterior[truth]) if posterior[truth] > 0.0 else math.inf


def brier_loss(posterior: Sequence[float], truth: int) -> float:
    """Return sum_c (q_c - [c = truth])^2, in [0, 2]."""
    return math.fsum((q - (i == truth)) ** 2 for i, q in enumerate(posterior))


def spherical_loss(posterior: Sequence[float], truth: int) -> float:
    """Return 1 - q_truth / |q|, in [0, 1]; 1 when nothing has mass."""
    length = math.hypot(*posterior)
    return 1.0 - posterior[truth] / length if length > 0.0 else 1.0


def expected_loss(score: Score, *, stated: Sequence[float], true: Sequence[float]) -> float:
    """Return the mean loss of stating ``stated`` when the truth is drawn from ``true``.

    A score is proper when no ``stated`` does better than ``true`` itself (Theorem 14), strictly so when only
    ``true`` does as well; all three here are strictly proper.
    """
    return math.fsum(p * score(stated, truth) for truth, p in enumerate(true) if p > 0.0)
