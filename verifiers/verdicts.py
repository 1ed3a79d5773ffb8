"""The vocabulary every verifier speaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from reasoner.outcomes import Outcome

__all__ = ["Outcome", "Verdict", "Verifier"]

ClaimT_contra = TypeVar("ClaimT_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One verifier's conclusion about one claim; stored as it is."""

    verifier: str
    """The verifier's name, e.g. ``math``."""

    version: str
    """The verifier's version; a verdict of another version is another verdict."""

    outcome: Outcome

    reason: str
    """One line a person can read in the audit."""

    elapsed_s: float
    """Wall time spent, in seconds."""

    evidence: dict[str, Any] = field(default_factory=dict)
    """What led to it: JSON values only, bounded in size."""


class Verifier(Protocol[ClaimT_contra]):
    """Judge claims of one kind; safe to call from any thread."""

    @property
    def name(self) -> str:
        """Name, as it stands in the audit."""
        ...

    @property
    def version(self) -> str:
        """Version, as it stands in the audit."""
        ...

    def verify(self, claim: ClaimT_contra, *, timeout_s: float) -> Verdict:
        """Judge ``claim``; never raises on bad input, which is an abstention.

        Raises:
            VerifierError: The verifier itself broke and concluded nothing.
        """
        ...
