"""Whether the older and the newer half of a window look alike: without that, no threshold learned on it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reasoner.labelled_table import Flags, Floats, Labelled, LabelledTable

SMALLEST_HALF = 10
"""With fewer in a half nothing can be told."""

N_TESTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTest:
    """One test that the two halves are exchangeable."""

    what: str
    p_value: float
    """Of that test alone; ``exchangeability`` says what they come to together."""

    older: float
    newer: float
    """The mean in each half."""


def drift_tests(decisions: Labelled) -> list[DriftTest]:
    """Return the tests on the halves of ``decisions``, in the order of time; none when there are too few.

    Kolmogorov-Smirnov on the truth's posterior, which lambda is cut from, and on the confidence, which tau_conf acts
    on; Fisher's exact test on the errors. Under exchangeability each p-value is valid; ties, which votes abound
    in, make the first two larger than need be, never smaller.
    """
    table = LabelledTable.of(decisions)
    middle = len(table) // 2
    if middle < SMALLEST_HALF:
        return []
    return [
        _smirnov("posterior of the truth", table.of_truth[:middle], table.of_truth[middle:]),
        _smirnov("confidence", table.confidence[:middle], table.confidence[middle:]),
        _fisher("errors", ~table.right[:middle], ~table.right[middle:]),
    ]


def exchangeability(tests: Sequence[DriftTest]) -> float:
    """Return the p-value of all tests together (Bonferroni); 1 without any."""
    return min(1.0, N_TESTS * min((test.p_value for test in tests), default=1.0))


def _smirnov(what: str, older: Floats, newer: Floats) -> DriftTest:
    # The asymptotic form is a function of the data alone, however many there are; the exact one switches by size.
    found = stats.ks_2samp(older, newer, method="asymp")
    return DriftTest(what=what, p_value=float(found.pvalue), older=_mean(older), newer=_mean(newer))


def _fisher(what: str, older: Flags, newer: Flags) -> DriftTest:
    counts = [int(np.count_nonzero(older)), int(np.count_nonzero(newer))]
    table = [[counts[0], len(older) - counts[0]], [counts[1], len(newer) - counts[1]]]
    return DriftTest(
        what=what,
        p_value=float(stats.fisher_exact(table)[1]),
        older=counts[0] / len(older),
        newer=counts[1] / len(newer),
    )


def _mean(values: Floats) -> float:
    # Added up one after the other, as nights on record were; NumPy's own sum goes by pairs and rounds otherwise.
    return float(np.cumsum(values)[-1]) / len(values)
