"""What keeps a candidate calibration from coming into force, each guard with the sentence it tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reasoner.calibration import coverage_ceiling
from reasoner.decisions import Thresholds
from reasoner.drift import DriftTest, exchangeability
from reasoner.errors import InvalidRuleError
from reasoner.labelled_table import Flags, Labelled, LabelledTable
from reasoner.performance import Performance
from reasoner.selective import labels_needed

ROUNDING = 1e-9

RULES = 2
"""Of nights as they are run; see ``Policy.rules``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator asks of a calibration."""

    alpha: float = 0.9
    """Share of tasks whose set is to hold the truth."""

    target_risk: float = 0.1
    """Error rate to be allowed among the answered."""

    delta: float = 0.1
    """Chance that the error rate exceeds it all the same."""

    size_cost: float = 0.3
    """What a member of a set costs in the paper's lambda*, in missed truths (eq. 40)."""

    conformal: bool = True
    """Whether lambda is the conformal one; else the paper's lambda*, which is optimistic."""

    held_out: float = 0.25
    """Share of the window, its newest part, that nothing is fitted on."""

    min_labels: int = 50
    """Fewer in the fitted part are never enough, whatever the tests would say."""

    max_change: float = 0.3
    """Largest move of a threshold away from a calibration that was fitted too."""

    level: float = 0.001
    """Chance of a false alarm of the drift test, and of each check on the held-out part."""

    rules: int = RULES
    """What a night makes of its labels, kept so that those on record can be had again. 1: what can't be told right or
    wrong was left out. 2: it counts as wrong and as missed, and what is in force is tested too."""

    def __post_init__(self) -> None:
        for name in ("alpha", "target_risk", "delta", "held_out", "level"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InvalidRuleError(f"{name} must lie inside (0, 1), not {getattr(self, name)}")
        if not (self.size_cost >= 0.0 and self.max_change > 0.0 and self.min_labels >= 1):
            raise InvalidRuleError(
                "size_cost must not be negative, max_change and min_labels must be above 0"
            )
        if not 1 <= self.rules <= RULES:
            raise InvalidRuleError(f"rules are known from 1 to {RULES}, not {self.rules}")

    @property
    def fit_labels(self) -> int:
        """Labels that the fitted part needs: for alpha, n >= alpha / (1 - alpha); for the risk, see ``selective``."""
        for_alpha = math.ceil(self.alpha / (1.0 - self.alpha) - ROUNDING)
        return max(for_alpha, labels_needed(target_risk=self.target_risk, delta=self.delta), self.min_labels)

    @property
    def window_labels(self) -> int:
        """Labels that the whole window needs."""
        return math.ceil(self.fit_labels / (1.0 - self.held_out) - ROUNDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A guard that fired."""

    guard: str
    """Stable word: ``not_finite``, ``too_few_labels``, ``one_class``, ``ceiling``, ``risk``, ``drift``, ``held_out``,
    ``unknown``, ``change``."""

    told: str
    """What is wrong and what would help."""


def bad_labels(table: LabelledTable, policy: Policy, *, told: Flags) -> list[Alarm]:
    """Return what forbids any fit on these labels; only what is told right or wrong counts as one."""
    alarms = []
    n_told = int(np.count_nonzero(told))
    broken = table.n_broken
    if broken:
        alarms.append(
            Alarm(guard="not_finite", told=f"{broken} decisions hold a number that is NaN or infinite")
        )
    if n_told < policy.window_labels:
        n_untold = len(table) - n_told
        beside = f" and {n_untold} that can't be told right or wrong" if n_untold else ""
        alarms.append(
            Alarm(
                guard="too_few_labels",
                told=f"{n_told} labelled decisions{beside}; alpha {policy.alpha:g}, target risk "
                f"{policy.target_risk:g} and delta {policy.delta:g} need at least {policy.window_labels}",
            )
        )
    n_right = int(np.count_nonzero(table.right & told))
    if n_told and n_right in {0, n_told}:
        word = "right" if n_right else "wrong"
        alarms.append(
            Alarm(
                guard="one_class",
                told=f"all {n_told} labels say {word}: labels of one kind show no risk; see that failures "
                "and successes come back alike",
            )
        )
    return alarms


def ceiling_alarm(fit: Labelled, policy: Policy) -> Alarm | None:
    """Return the alarm when no lambda covers alpha: the truth is among the answers too rarely."""
    tasks = LabelledTable.of(fit).labelled
    share = coverage_ceiling(tasks)
    found = round(share * len(tasks))
    if math.ceil((len(tasks) + 1) * policy.alpha - ROUNDING) <= found:
        return None
    reachable = math.floor(1000 * found / (len(tasks) + 1)) / 1000
    return Alarm(
        guard="ceiling",
        told=f"the truth is among the answers of {share:.1%} of the tasks, so no lambda covers {policy.alpha:g}; "
        f"alpha {reachable:g} can be reached. More chains, higher temperatures or other models raise the ceiling",
    )


def risk_alarm(n: int, policy: Policy) -> Alarm:
    """Return the alarm of a fit in which no thresholds could be certified."""
    return Alarm(
        guard="risk",
        told=f"no tau_margin and tau_conf were shown to err at most {policy.target_risk:g} of the time on {n} labels; "
        "allow a higher target risk or delta, bring more labels, or better verifiers",
    )


def drift_alarm(tests: Sequence[DriftTest], policy: Policy) -> Alarm | None:
    """Return the alarm when the halves of the window are not exchangeable."""
    p_value = exchangeability(tests)
    if p_value >= policy.level:
        return None
    worst = min(tests, key=lambda test: test.p_value)
    return Alarm(
        guard="drift",
        told=f"the halves of the window differ (p = {p_value:.2g}), most in {worst.what}: mean {worst.older:.3f}, then "
        f"{worst.newer:.3f}. Shorten the window to what came after the change",
    )


def held_out_alarms(held: Performance, policy: Policy) -> list[Alarm]:
    """Return the alarms when the newest part contradicts what the fit promised."""
    alarms = []
    too_few = float(stats.binom.cdf(held.n_covered, held.n_tasks, policy.alpha))
    if too_few < policy.level:
        alarms.append(
            Alarm(
                guard="held_out",
                told=f"on the held-out part {held.coverage:.1%} are covered, not {policy.alpha:g} (p = {too_few:.2g})",
            )
        )
    too_many = float(stats.binom.sf(held.n_errors - 1, held.n_answered, policy.target_risk))
    if held.n_answered and too_many < policy.level:
        alarms.append(
            Alarm(
                guard="held_out",
                told=f"on the held-out part {held.selective_risk:.1%} of the answers are wrong, above "
                f"{policy.target_risk:g} (p = {too_many:.2g})",
            )
        )
    return alarms


def unknown_alarm(alarm: Alarm, *, n_untold: int, n: int) -> Alarm:
    """Return the alarm in the place of one that fires only since what can't be told counts as wrong."""
    return Alarm(
        guard="unknown",
        told=f"of {n_untold} of {n} labelled decisions it can't be told whether they are right; they count as wrong, "
        f"and without them the guard {alarm.guard} would be silent ({alarm.told}). `audit find --label unknown` and "
        "`--label conflicting` list them; label them again with correct: true or false",
    )


def change_alarm(found: Thresholds, active: Thresholds, policy: Policy) -> Alarm | None:
    """Return the alarm when a threshold would move further than allowed."""
    moved = {
        name: (getattr(active, name), getattr(found, name)) for name in ("lambda_", "tau_margin", "tau_conf")
    }
    far = {
        name: pair for name, pair in moved.items() if abs(pair[1] - pair[0]) > policy.max_change + ROUNDING
    }
    if not far:
        return None
    told = ", ".join(f"{name.strip('_')} from {old:.3g} to {new:.3g}" for name, (old, new) in far.items())
    return Alarm(
        guard="change",
        told=f"{told}: more than {policy.max_change:g}; look at the report, then run again with a larger bound "
        "(--max-change)",
    )
