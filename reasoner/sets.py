"""Sets of explanations over a posterior: threshold, top-k and coverage, with one way to break ties.

Every function takes the posterior of explanations *in rank order*, best first, and returns how many of the
first to keep, or takes any order and returns positions. Ties in the posterior go to the lower position, so
that whoever ranks the explanations (``reasoner.clusters``) has broken all ties for all sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reasoner.errors import InvalidDistributionError, InvalidRuleError

ROUNDING = 1e-12
"""What adding a few hundred probabilities may lose; a sum this close to alpha has reached it."""


def by_posterior(posterior: Sequence[float]) -> list[int]:
    """Return positions in descending posterior, equal ones in ascending position.

    Raises:
        InvalidDistributionError: An entry is negative or NaN, or the sum exceeds 1.
    """
    if any(not p >= 0.0 for p in posterior) or math.fsum(posterior) > 1.0 + 1e-9:
        raise InvalidDistributionError(f"not a (sub)distribution: {list(posterior)[:8]}")
    return sorted(range(len(posterior)), key=lambda i: (-posterior[i], i))


def threshold_set(posterior: Sequence[float], *, lambda_: float) -> tuple[int, ...]:
    """Return {c : p_c >= lambda}, best first: the minimiser of R_lambda (Theorem 3).

    At p_c = lambda keeping and dropping cost the same; we keep, so the set is the largest minimiser.
    """
    return tuple(i for i in by_posterior(posterior) if posterior[i] >= lambda_)


def top_k_set(posterior: Sequence[float], *, k: int) -> tuple[int, ...]:
    """Return the k most probable, best first: no set of at most k covers more (Theorem 5).

    Explanations of zero mass are dropped, and k may exceed what is left.

    Raises:
        InvalidRuleError: ``k`` is negative.
    """
    if k < 0:
        raise InvalidRuleError(f"a set cannot have {k} members")
    return tuple(i for i in by_posterior(posterior) if posterior[i] > 0.0)[:k]


def coverage_set(posterior: Sequence[float], *, alpha: float) -> tuple[int, ...]:
    """Return the shortest prefix in descending posterior whose sum reaches alpha (Theorem 16).

    No smaller set reaches alpha. When all of them together do not (mass lies on chains without an answer),
    everything with mass is returned: the coverage ceiling.
    """
    chosen: list[int] = []
    for i in by_posterior(posterior):
        if math.fsum(posterior[j] for j in chosen) >= alpha - ROUNDING or posterior[i] == 0.0:
            break
        chosen.append(i)
    return tuple(chosen)
