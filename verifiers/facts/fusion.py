"""Reciprocal rank fusion: one order from several, by ranks alone, since their scores have no common scale."""

from __future__ import annotations

from collections.abc import Sequence

K = 60  # of Cormack, Clarke & Büttcher (2009): how little the very first ranks stand out


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, k: int = K) -> dict[int, float]:
    """Return the sum over rankings of 1 / (k + rank) for every item, best first; ties by the smaller item.

    Args:
        rankings: Items, best first, each at most once in a ranking; one that a ranking lacks gets nothing from it.
        k: Smoothing constant.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return dict(sorted(scores.items(), key=lambda one: (-one[1], one[0])))
