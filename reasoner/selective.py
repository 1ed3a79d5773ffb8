"""Selective-risk control: thresholds of abstention under which the error rate is bounded, by exact tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reasoner.errors import InvalidRuleError
from reasoner.labelled_table import Labelled, LabelledTable

MARGINS = (0.0, 0.6)
"""The tau_margin that are tried: none, and a clear majority; between the shares of 4 and of 8 chains, so that none
hangs on rounding. Every further one would take its part of delta from the others."""

CONFIDENCES = tuple(i / 100 for i in range(100, -1, -1))
"""The tau_conf that are tried, strictest first."""

STARTS = (0.95, 0.85, 0.7, 0.5)
"""Where the chance of error is handed out along ``CONFIDENCES``: a chain of tests that began at the top, where
few are answered, would end there for want of labels."""

N_STARTS = len(MARGINS) * len(STARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A pair of thresholds whose selective risk was shown to be at most the target."""

    tau_margin: float
    tau_conf: float
    n_answered: int
    n_errors: int
    n_tasks: int
    level: float
    """The chance of error its test was given."""

    @property
    def answered_share(self) -> float:
        """Share of tasks it answers."""
        return self.n_answered / self.n_tasks

    @property
    def risk(self) -> float:
        """Error rate among them."""
        return self.n_errors / self.n_answered

    @property
    def risk_bound(self) -> float:
        """Clopper-Pearson upper bound on the risk at ``level``; never above the target it was certified for."""
        return binomial_upper(self.n_errors, self.n_answered, level=self.level)


def binomial_upper(errors: int, n: int, *, level: float) -> float:
    """Return the exact one-sided upper bound: the p of which so few errors of n have chance ``level``.

    Raises:
        InvalidRuleError: Impossible counts.
    """
    if not 0 <= errors <= n:
        raise InvalidRuleError(f"{errors} errors of {n}")
    return 1.0 if errors == n else float(stats.beta.ppf(1.0 - level, errors + 1, n - errors))


def labels_needed(*, target_risk: float, delta: float) -> int:
    """Return how many answered labels the test needs when none of them is an error: (1 - r)^n <= delta / starts."""
    return math.ceil(math.log(delta / N_STARTS) / math.log1p(-target_risk))


def certify(decisions: Labelled, *, target_risk: float, delta: float) -> list[Certified]:
    """Return every pair of the grid shown to have selective risk <= ``target_risk``, all at once with chance 1 - delta.

    Learn then Test (Angelopoulos et al. 2021): each pair is a null hypothesis "its risk exceeds the target" with
    the exact binomial p-value P(Bin(n answered, target) <= errors). The family-wise error is held by the fallback
    procedure: a fixed order, shares of delta at fixed starts, and what a rejected hypothesis was given is handed on
    to the next. Neither the order nor the starts look at the labels, so whichever certified pair is picked
    afterwards, its risk exceeds the target in at most delta of all calibrations.

    Args:
        decisions: Exchangeable with those to come, and not used to fit what gave their numbers.
        target_risk: Of errors among the answered, in (0, 1).
        delta: Chance that any certified pair exceeds it, in (0, 1).

    Raises:
        InvalidRuleError: ``target_risk`` or ``delta`` outside (0, 1).
    """
    if not (0.0 < target_risk < 1.0 and 0.0 < delta < 1.0):
        raise InvalidRuleError(f"target risk {target_risk} and delta {delta} must lie inside (0, 1)")
    found: list[Certified] = []
    table = LabelledTable.of(decisions)
    for tau_margin in MARGINS:
        carried = 0.0
        for tau_conf, n, errors, p_value in _tests(table, tau_margin, target_risk):
            level = carried + (delta / N_STARTS if tau_conf in STARTS else 0.0)
            carried = level if p_value <= level else 0.0
            if carried:
                found.append(
                    Certified(
                        tau_margin=tau_margin,
                        tau_conf=tau_conf,
                        n_answered=n,
                        n_errors=errors,
                        n_tasks=len(table),
                        level=level,
                    )
                )
    return found


def _tests(
    table: LabelledTable, tau_margin: float, target_risk: float
) -> list[tuple[float, int, int, float]]:
    """Return each confidence of the grid with how many are answered, how many of them wrong, and the p-value."""
    chosen = np.flatnonzero(table.answerable & (table.margin >= tau_margin))
    ranked = chosen[np.argsort(table.confidence[chosen])]
    errors_below = np.concatenate([[0], np.cumsum(~table.right[ranked])]).astype(np.int64)
    below = np.searchsorted(table.confidence[ranked], CONFIDENCES, side="left")
    n, errors = len(ranked) - below, errors_below[-1] - errors_below[below]
    p_values = np.where(n > 0, stats.binom.cdf(errors, n, target_risk), 1.0)
    return [
        (tau, int(a), int(e), float(p)) for tau, a, e, p in zip(CONFIDENCES, n, errors, p_values, strict=True)
    ]


def least_abstaining(certified: Sequence[Certified], *, lambda_: float) -> Certified | None:
    """Return the certified pair that answers most, none when there is none.

    A task whose confidence is below lambda has an empty set and abstains anyway, so pairs with tau_conf >= lambda
    come first: under them what was certified is exactly what is answered. Equals go to the lower margin and the
    higher confidence.
    """
    honest = [pair for pair in certified if pair.tau_conf >= lambda_] or list(certified)
    return max(honest, key=lambda pair: (pair.n_answered, -pair.tau_margin, pair.tau_conf), default=None)
