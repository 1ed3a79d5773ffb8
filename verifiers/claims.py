"""What verifiers are asked to judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualityClaim:
    """These two answers are the same answer."""

    gold: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramClaim:
    """This program passes these tests."""

    program: str
    """Source of the program under test; hostile."""

    tests: str
    """Plain asserts, or HumanEval's ``check(candidate)``."""

    entry_point: str | None = None
    """The function under test, where the tests need to be told (``candidate``)."""
