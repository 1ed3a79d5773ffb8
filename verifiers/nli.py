"""What a judge of natural language inference says, whoever asks it: the entailment verifier, or the facts verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class NliScores:
    """Probabilities of the three relations between a premise and a hypothesis; they sum to 1."""

    entailment: float
    neutral: float
    contradiction: float

    n_windows: int = 1
    """Windows the premise was read in; the scores are those of the windows taken together."""


class NliModel(Protocol):
    """Scores pairs of texts; safe to call from any thread, and batched over all that ask at once."""

    @property
    def name(self) -> str:
        """Checkpoint name, as it stands on every verdict."""
        ...

    @property
    def revision(self) -> str:
        """What tells two sets of weights of one name apart."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[NliScores]:
        """Return the scores of each (premise, hypothesis), in their order.

        Raises:
            VerifierError: The model could not be loaded or broke; says nothing about the texts.
        """
        ...

    def close(self) -> None:
        """Let go of the weights."""
        ...
