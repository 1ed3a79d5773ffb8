"""What can go wrong with a verifier itself; a claim that fails is a verdict, not an error."""

from __future__ import annotations


class VerifierError(Exception):
    """Raised when a verifier broke and concluded nothing."""


class SandboxUnavailableError(VerifierError):
    """Raised when a sandbox that worked before could not run a program now; worth a retry."""


class ModelUnavailableError(VerifierError):
    """Raised when a verifier's model cannot be loaded."""


class DocumentsUnavailableError(VerifierError):
    """Raised when reference documents cannot be read now; worth a retry."""
