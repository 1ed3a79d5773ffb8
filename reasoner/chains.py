"""One sampled reasoning trace, as the method sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain of a task: what it answered and how likely the model found it."""

    index: int
    """Position among the task's k chains, from 0; ties are broken by it."""

    part: int = 0
    """Position in the chain's list, from 0, where a chain of SPREAD lists several explanations.

    Then each explanation is a ``Chain`` of its own with the same index: the chain votes once for each of them.
    """

    answer: str | None
    """The final result extracted from the text; ``None`` when there is none."""

    logprob: float | None = None
    """Sum of the token logprobs, in nats, at most 0; ``None`` when the engine gave none."""

    n_tokens: int | None = None
    """Number of tokens the logprob sums over; ``None`` when unknown."""

    model: str = "default"
    """Which model sampled it."""
