"""What a verifier can conclude."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """A verifier's conclusion about a claim; "cannot tell" is one of them and is never "no"."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    ABSTAINED = "abstained"
