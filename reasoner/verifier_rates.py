"""How far a verifier can be believed, measured on answers whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

from reasoner.outcomes import Outcome
from reasoner.pool import wilson_interval

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierRates:
    """What one verifier said of right and of wrong answers: a 2 x 3 table, and the shares it comes to.

    An abstention is neither right nor wrong, so it leaves the rates alone and has a share of its own. The
    intervals are Wilson's (95 %) and take the verdicts as independent: several answers of one task are not quite.
    """

    right_confirmed: int = 0
    right_refuted: int = 0
    right_abstained: int = 0
    wrong_confirmed: int = 0
    wrong_refuted: int = 0
    wrong_abstained: int = 0

    def __add__(self, other: VerifierRates) -> VerifierRates:
        """Return both together."""
        return VerifierRates(
            **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        )

    @property
    def n_right(self) -> int:
        """Verdicts on right answers."""
        return self.right_confirmed + self.right_refuted + self.right_abstained

    @property
    def n_wrong(self) -> int:
        """Verdicts on wrong answers."""
        return self.wrong_confirmed + self.wrong_refuted + self.wrong_abstained

    @property
    def sensitivity(self) -> float | None:
        """P(confirmed | right, not abstained); ``None`` when it took no side on a right answer."""
        return _share(self.right_confirmed, self.right_confirmed + self.right_refuted)

    @property
    def sensitivity_interval(self) -> Interval | None:
        """Its 95 % interval."""
        return _interval(self.right_confirmed, self.right_confirmed + self.right_refuted)

    @property
    def specificity(self) -> float | None:
        """P(refuted | wrong, not abstained); ``None`` when it took no side on a wrong answer."""
        return _share(self.wrong_refuted, self.wrong_confirmed + self.wrong_refuted)

    @property
    def specificity_interval(self) -> Interval | None:
        """Its 95 % interval."""
        return _interval(self.wrong_refuted, self.wrong_confirmed + self.wrong_refuted)

    @property
    def abstained(self) -> float | None:
        """Share of all verdicts that took no side."""
        return _share(self.right_abstained + self.wrong_abstained, self.n_right + self.n_wrong)


def measure_verifier(verdicts: Iterable[tuple[Outcome, bool]]) -> VerifierRates:
    """Return the rates of the verifier that gave these verdicts.

    Args:
        verdicts: Each outcome with whether the answer it is about was right.
    """
    counts = Counter(verdicts)
    return VerifierRates(
        right_confirmed=counts[Outcome.CONFIRMED, True],
        right_refuted=counts[Outcome.REFUTED, True],
        right_abstained=counts[Outcome.ABSTAINED, True],
        wrong_confirmed=counts[Outcome.CONFIRMED, False],
        wrong_refuted=counts[Outcome.REFUTED, False],
        wrong_abstained=counts[Outcome.ABSTAINED, False],
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> Interval | None:
    return wilson_interval(part, whole) if whole else None
