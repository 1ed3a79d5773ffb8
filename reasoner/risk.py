"""The regularised risk of a set of explanations, and when a set beats a single answer."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reasoner.sets import by_posterior, threshold_set


def regularised_risk(posterior: Sequence[float], chosen: Collection[int], *, lambda_: float) -> float:
    """Return R_lambda(S) = P(truth not in S) + lambda |S|.

    Args:
        posterior: p_c; it may sum to less than 1, and then the truth may be none of them.
        chosen: Positions of S.
        lambda_: What one more member of the set costs, in units of a missed truth.
    """
    return 1.0 - math.fsum(posterior[i] for i in set(chosen)) + lambda_ * len(set(chosen))


@dataclass(frozen=True, slots=True, kw_only=True)
class SingletonComparison:
    """The best set beside the best single answer (Corollary 4)."""

    set_risk: float
    singleton_risk: float

    @property
    def gain(self) -> float:
        """What the set saves; never negative, and 0 when it is the single answer."""
        return self.singleton_risk - self.set_risk


def compare_with_singleton(posterior: Sequence[float], *, lambda_: float) -> SingletonComparison:
    """Return the risks of the threshold set and of the single most probable explanation (Corollary 4).

    With p_1 the highest, the gain is the sum of p_c - lambda over the other members of the set, or
    lambda - p_1 when even p_1 < lambda and the set is empty. Without any explanation both are 1.
    """
    ranked = by_posterior(posterior)
    return SingletonComparison(
        set_risk=regularised_risk(posterior, threshold_set(posterior, lambda_=lambda_), lambda_=lambda_),
        singleton_risk=regularised_risk(posterior, ranked[:1], lambda_=lambda_),
    )
