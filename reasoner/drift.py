"""Whether the older and the newer half of a window look alike: without that, no threshold learned on it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from reasoner.labelled_decision import LabelledDecision

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


def drift_tests(decisions: Sequence[LabelledDecision]) -> list[DriftTest]:
    """Return the tests on the halves of ``decisions``, in the order of time; none when there are too few.

    Kolmogorov-Smirnov on the truth's posterior, which lambda is cut from, and on the confidence, which tau_conf acts
    on; Fisher's exact test on the errors. Under exchangeability each p-value is valid; ties, which votes abound
    in, make the first two larger than need be, never smaller.
    """
    middle = len(decisions) // 2
    older, newer = decisions[:middle], decisions[middle:]
    if middle < SMALLEST_HALF:
        return []
    return [
        _smirnov("posterior of the truth", [d.of_truth for d in older], [d.of_truth for d in newer]),
        _smirnov("confidence", [d.confidence for d in older], [d.confidence for d in newer]),
        _fisher("errors", [not d.right for d in older], [not d.right for d in newer]),
    ]


def exchangeability(tests: Sequence[DriftTest]) -> float:
    """Return the p-value of all tests together (Bonferroni); 1 without any."""
    return min(1.0, N_TESTS * min((test.p_value for test in tests), default=1.0))


def _smirnov(what: str, older: Sequence[float], newer: Sequence[float]) -> DriftTest:
    # The asymptotic form is a function of the data alone, however many there are; the exact one switches by size.
    found = stats.ks_2samp(older, newer, method="asymp")
    return DriftTest(what=what, p_value=float(found.pvalue), older=_mean(older), newer=_mean(newer))


def _fisher(what: str, older: Sequence[bool], newer: Sequence[bool]) -> DriftTest:
    table = [[sum(older), len(older) - sum(older)], [sum(newer), len(newer) - sum(newer)]]
    return DriftTest(
        what=what, p_value=float(stats.fisher_exact(table)[1]), older=_mean(older), newer=_mean(newer)
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
