"""What verifiers are asked to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from verifiers.passages import Passage, Retriever


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
