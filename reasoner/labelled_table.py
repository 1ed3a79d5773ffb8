"""Labelled decisions column by column: what a night of many thousands is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoner.calibration import Posteriors
from reasoner.errors import InvalidRuleError
from reasoner.labelled_decision import LabelledDecision

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Positions = NDArray[np.int64]
Integers = NDArray[np.int64] | NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledTable:
    """The fields of ``LabelledDecision``, n of each; all functions of a night take either form.

    A decision's posterior is ``masses[starts[i]:starts[i + 1]]``.
    """

    masses: Floats
    starts: Positions  # (n + 1,), the first of them 0
    of_truth: Floats
    """Posterior of the truth; 0 when it was not among the answers."""

    top: Floats
    """The highest posterior; 0 without any."""

    confidence: Floats
    margin: Floats
    right: Flags
    answerable: Flags

    @classmethod
    def of(cls, decisions: Labelled) -> LabelledTable:
        """Return the decisions as a table; a table is returned as it is."""
        if isinstance(decisions, LabelledTable):
            return decisions
        return cls.from_columns(
            masses=np.array([p for d in decisions for p in d.posterior], dtype=np.float64),
            sizes=np.array([len(d.posterior) for d in decisions], dtype=np.int64),
            truth=np.array([-1 if d.truth is None else d.truth for d in decisions], dtype=np.int64),
            confidence=np.array([d.confidence for d in decisions], dtype=np.float64),
            margin=np.array([d.margin for d in decisions], dtype=np.float64),
            right=np.array([d.right for d in decisions], dtype=np.bool_),
            answerable=np.array([d.answerable for d in decisions], dtype=np.bool_),
        )

    @classmethod
    def from_columns(
        cls,
        *,
        masses: Floats,
        sizes: Integers,
        truth: Integers,
        confidence: Floats,
        margin: Floats,
        right: Flags,
        answerable: Flags,
    ) -> LabelledTable:
        """Return the table of n decisions.

        Args:
            masses: All posteriors, one decision's after the other's.
            sizes: How many each decision has.
            truth: Which of them is the right one; -1 when none is.
            confidence: See ``LabelledDecision``.
            margin: Likewise.
            right: Likewise.
            answerable: Likewise.

        Raises:
            InvalidRuleError: A truth is none of its decision's answers.
        """
        if (truth >= sizes).any():
            raise InvalidRuleError(
                f"{int((truth >= sizes).sum())} truths are none of their decisions' answers"
            )
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        of_truth, top = np.zeros(len(sizes)), np.zeros(len(sizes))
        known = np.flatnonzero(truth >= 0)
        of_truth[known] = masses[starts[known] + truth[known]]
        filled = np.flatnonzero(sizes > 0)
        if len(filled):
            top[filled] = np.maximum.reduceat(masses, starts[filled])
        return cls(
            masses=masses,
            starts=starts,
            of_truth=of_truth,
            top=top,
            confidence=confidence,
            margin=margin,
            right=right,
            answerable=answerable,
        )

    def __len__(self) -> int:
        return len(self.of_truth)

    def part(self, start: int, stop: int) -> LabelledTable:
        """Return the decisions from ``start`` up to ``stop``, not copied."""
        starts = self.starts[start : stop + 1]
        return LabelledTable(
            masses=self.masses[starts[0] : starts[-1]],
            starts=starts - starts[0],
            of_truth=self.of_truth[start:stop],
            top=self.top[start:stop],
            confidence=self.confidence[start:stop],
            margin=self.margin[start:stop],
            right=self.right[start:stop],
            answerable=self.answerable[start:stop],
        )

    def chosen(self, wanted: Flags) -> LabelledTable:
        """Return the wanted decisions, in their order."""
        sizes = np.diff(self.starts)
        return LabelledTable(
            masses=self.masses[np.repeat(wanted, sizes)],
            starts=np.concatenate([[0], np.cumsum(sizes[wanted])]).astype(np.int64),
            of_truth=self.of_truth[wanted],
            top=self.top[wanted],
            confidence=self.confidence[wanted],
            margin=self.margin[wanted],
            right=self.right[wanted],
            answerable=self.answerable[wanted],
        )

    @property
    def labelled(self) -> Posteriors:
        """Its sets' part."""
        return Posteriors(masses=self.masses, of_truth=self.of_truth)

    @property
    def n_broken(self) -> int:
        """Decisions that hold a number which is NaN or infinite."""
        numbers = (self.masses, self.confidence, self.margin)
        if all(np.isfinite(one).all() for one in numbers):
            return 0
        broken = ~(np.isfinite(self.confidence) & np.isfinite(self.margin))
        wrong_masses = np.flatnonzero(~np.isfinite(self.masses))
        broken[np.searchsorted(self.starts, wrong_masses, side="right") - 1] = True
        return int(broken.sum())


Labelled = LabelledTable | Sequence[LabelledDecision]
"""Decisions in the order of time."""
