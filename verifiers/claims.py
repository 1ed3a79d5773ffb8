"""What verifiers are asked to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from verifiers.passages import Passage, Retriever

Collection = Literal["set", "multiset", "list"]
"""What several values make: in a multiset repetitions count, in a list the order does too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualityClaim:
    """These two answers are the same answer."""

    gold: str
    answer: str

    collection: Collection = "set"
    """How ``1, 2`` and ``{1, 2}`` are compared. Points and vectors keep their order and repetitions anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SatisfiesClaim:
    """This answer satisfies these conditions; that it is the only one that does is not claimed."""

    answer: str
    """A value, ``x = 3, y = 4``, ``(3, 4)``, or several solutions, which must all satisfy; bare or in a text."""

    conditions: Sequence[str]
    """LaTeX or plain text: ``x^2 = 9``, ``12 | n``, ``n is prime``, ``x \\in [0, 1)``; all must hold."""

    unknowns: Sequence[str] = ()
    """Their names, in the order of a bare ``(3, 4)``; may be left out where only one name occurs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsClaim:
    """The arithmetic in this chain of thought is right; nothing is claimed about its reasoning."""

    text: str
    """The chain; hostile."""


MathClaim = EqualityClaim | SatisfiesClaim | StepsClaim
"""What the math verifier judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramClaim:
    """This program passes these tests."""

    program: str
    """Source of the program under test; hostile."""

    tests: str
    """Plain asserts, ``check(candidate)``, a unittest or pytest file, or cases of standard input as JSON."""

    entry_point: str | None = None
    """The function under test, where the tests need to be told (``candidate``)."""

    language: str = "python"
    """The language of the program and the tests."""

    files: Mapping[str, str] = field(default_factory=dict)
    """More files of the program, by relative path (``helpers.py``, ``shapes/__init__.py``); hostile."""

    known_good: str | None = None
    """A program that is right. When given, the tests count only if they pass it and fail mutants of it."""

    seed: int = 0
    """Of the random numbers that the tests and the program draw."""

    inner: Literal["never", "allowed"] = "never"
    """Whether tests that need the program's internals may run in its process: a pass there can be forged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntailmentClaim:
    """Who accepts the premise accepts the hypothesis."""

    premise: str
    """May be long; hostile."""

    hypothesis: str
    """A sentence or a few; hostile."""

    both_directions: bool = False
    """The claim is that each entails the other: they say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportClaim:
    """The reference documents support this statement."""

    statement: str
    """Every sentence of it must be supported; hostile."""

    source: Sequence[Passage] | Retriever
    """The passages to search, or what searches them."""
