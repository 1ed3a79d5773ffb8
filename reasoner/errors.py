"""What can be wrong with the values the method is given; each is the caller's mistake and never retried."""

from __future__ import annotations


class ReasonerError(ValueError):
    """Root of the method's errors: a value it cannot take."""


class InvalidChainError(ReasonerError):
    """Raised when a chain's index, logprob or token count is impossible."""

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(message)
        self.index = index


class InvalidRuleError(ReasonerError):
    """Raised when a threshold or a rule lies outside its range, or two of them contradict each other."""


class InvalidDistributionError(ReasonerError):
    """Raised when what should be probabilities has a negative, a NaN, or too large a sum."""


class InsufficientCalibrationDataError(ReasonerError):
    """Raised when there are no labelled decisions to learn from."""
