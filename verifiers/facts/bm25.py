"""Okapi BM25: how much a passage says about a query, by the words they share.

The statistics are an argument, because those of a stored collection come from the database and only a few candidates
from it are scored; libraries of BM25 take them from the texts they score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

K1 = 1.2  # how soon repetition stops to count; Robertson & Zaragoza (2009) recommend 1.2 to 2
B = 0.75  # how much a long passage is discounted


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What BM25 knows of the whole set of passages."""

    n_passages: int
    mean_terms: float
    """Mean number of terms of a passage."""

    holding: Mapping[str, int]
    """How many passages hold a term; of the query's terms at least."""


def statistics_of(passages: Sequence[Sequence[str]]) -> Statistics:
    """Return the statistics of passages given as their terms."""
    holding: Counter[str] = Counter()
    for terms in passages:
        holding.update(set(terms))
    n_terms = sum(len(terms) for terms in passages)
    return Statistics(
        n_passages=len(passages), mean_terms=n_terms / len(passages) if passages else 0.0, holding=holding
    )


def inverse_frequency(statistics: Statistics, term: str) -> float:
    """Return ln(1 + (N - n + 1/2) / (n + 1/2)), which is never negative."""
    n = statistics.holding.get(term, 0)
    return math.log1p((statistics.n_passages - n + 0.5) / (n + 0.5))


def bm25(query: Iterable[str], passage: Sequence[str], statistics: Statistics) -> float:
    """Return the score of one passage; 0 when it shares no term with the query.

    Sum over the query's distinct terms t of idf(t) f (k1 + 1) / (f + k1 (1 - b + b L / mean L)), with f the times
    the passage holds t and L its number of terms (Robertson & Zaragoza 2009, eq. 3.15, with an idf above zero).
    """
    counts = Counter(passage)
    length = 1 - B + B * (len(passage) / statistics.mean_terms if statistics.mean_terms else 1.0)
    score = 0.0
    for term in sorted(set(query)):  # in one order, so that the sum is the same to the last bit
        f = counts[term]
        if f:
            score += inverse_frequency(statistics, term) * f * (K1 + 1) / (f + K1 * length)
    return score
