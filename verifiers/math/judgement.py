"""What came out of one comparison or check, before a verifier signs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reasoner.outcomes import Outcome

__all__ = ["Judgement"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was concluded and why."""

    outcome: Outcome
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    """What was found in the texts, how it was read and which method decided: JSON values, bounded in size."""
