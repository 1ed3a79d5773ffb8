"""A decision whose truth came back: what thresholds are chosen and judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reasoner.calibration import LabelledPosterior
from reasoner.errors import InvalidRuleError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledDecision:
    """One task as the thresholds see it; they had no say in any of its numbers."""

    posterior: tuple[float, ...]
    """Of each cluster, best candidate first; 0 for a refuted one."""

    truth: int | None
    """Position of the right cluster (the heaviest, if several are right); ``None`` when no chain gave it."""

    confidence: float
    """What tau_conf acts on."""

    margin: float
    """What tau_margin acts on; 1 where no margin is asked for (SPREAD)."""

    right: bool
    """Whether the best candidate is right; ``False`` when there is none."""

    answerable: bool = True
    """``False`` when it would abstain whatever the thresholds: no answer, refuted, or the verifiers' reasons."""

    @property
    def of_truth(self) -> float:
        """Posterior of the truth; 0 when it was not among the answers."""
        return 0.0 if self.truth is None else self.posterior[self.truth]

    @property
    def labelled(self) -> LabelledPosterior:
        """Its set's part."""
        return LabelledPosterior(posterior=self.posterior, truth=self.truth)

    @property
    def is_finite(self) -> bool:
        """Whether every number is one."""
        return all(map(math.isfinite, (*self.posterior, self.confidence, self.margin)))

    def __post_init__(self) -> None:
        if self.truth is not None and not 0 <= self.truth < len(self.posterior):
            raise InvalidRuleError(f"the truth is cluster {self.truth} of {len(self.posterior)}")
