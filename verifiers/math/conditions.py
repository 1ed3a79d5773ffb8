"""What a condition on unknowns asserts."""

from __future__ import annotations

from dataclasses import dataclass

from verifiers.math.tree import Node, Relation

__all__ = ["Between", "Condition", "Congruent", "Divides", "Every", "Has", "Opposite", "Some", "Within"]


@dataclass(frozen=True, slots=True)
class Divides:
    """``divisor | number``, both integers."""

    divisor: Node
    number: Node


@dataclass(frozen=True, slots=True)
class Congruent:
    """``left ≡ right (mod modulus)``."""

    left: Node
    right: Node
    modulus: Node


@dataclass(frozen=True, slots=True)
class Has:
    """``subject`` is an integer, prime, even, ...; the kinds are those of ``verifiers.math.properties``."""

    subject: Node
    kind: str


@dataclass(frozen=True, slots=True)
class Within:
    """``subject ∈ where``: an interval, a union, a finite set, or a set with a name."""

    subject: Node
    where: Node


@dataclass(frozen=True, slots=True)
class Between:
    """``subject`` lies between two bounds; whether it may be one of them isn't said."""

    subject: Node
    low: Node
    high: Node


@dataclass(frozen=True, slots=True)
class Every:
    """All of them hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of them holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    """It does not hold."""

    part: Condition


Condition = Relation | Divides | Congruent | Has | Within | Between | Every | Some | Opposite
"""A ``Relation`` here is a chain of ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` and ``~`` (about equal)."""
