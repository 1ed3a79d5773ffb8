"""How many explanations are alive, and how the mass is spread over them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def merge_degree(sizes: Sequence[int]) -> float:
    """Return N_eff = 1 / sum (n_c / k')^2, the effective number of explanations; 0 when there is none.

    The plug-in value: biased low for small k', since chance agreement of a chain with itself counts.

    Args:
        sizes: Chains per cluster, n_c; their sum is k'.
    """
    total = sum(sizes)
    return total * total / sum(n * n for n in sizes) if total else 0.0


def merge_degree_corrected(sizes: Sequence[int]) -> float:
    """Return the reciprocal of the unbiased Simpson index sum n_c (n_c - 1) / (k' (k' - 1)).

    Infinite when no two chains agree, as of a single chain: the sample then gives no upper limit. 0 when
    there is no chain.
    """
    total = sum(sizes)
    pairs = sum(n * (n - 1) for n in sizes)
    if not total:
        return 0.0
    return total * (total - 1) / pairs if pairs else math.inf


def semantic_entropy(posterior: Sequence[float]) -> float:
    """Return -sum q ln q in nats, with q the posterior renormalised over the clusters; 0 without mass."""
    total = math.fsum(posterior)
    if total <= 0.0:
        return 0.0
    entropy = -math.fsum(p / total * math.log(p / total) for p in posterior if p > 0.0 and p / total > 0.0)
    return max(0.0, entropy)  # one cluster gives -0.0, which would be printed so
