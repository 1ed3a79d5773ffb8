"""Compute the two sides of a stated equality, in every convention people write arithmetic in, and compare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verifiers.math.comparison import Scalars
from verifiers.math.rational import NoValueError
from verifiers.math.readings import trees
from verifiers.math.sides import Side
from verifiers.math.substitution import rebuilt
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import (
    Add,
    Based,
    Call,
    Const,
    Degrees,
    Div,
    Mul,
    Node,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Sym,
    walk,
)  # fmt: skip

__all__ = ["Computed", "agree", "computed", "may_agree"]

NOISE = Fraction(1, 10**12)  # relative error of a calculator that computes in binary
CALCULATED_PLACES = 10  # a decimal that long was computed, not written
ABOUT = Fraction(1, 20)  # relative error above which "about equal" is false
_PLAIN = (Num, Add, Mul, Div, Pow, Percent, Degrees, Based, Fraction, str, tuple, int, type(None))
_CALLS = frozenset(("sqrt", "root", "cbrt", "factorial", "abs", "binomial"))


@dataclass(frozen=True, slots=True)
class Computed:
    """What a side is worth."""

    value: Fraction
    exact: bool = True
    """False when it is irrational and ``value`` its first fifty digits."""

    others: tuple[Fraction, ...] = ()
    """In other conventions: 20% as 20, 50 + 10% as 55."""

    step: Fraction | None = None
    """The last place of a decimal that stands alone."""

    decimals: tuple[Num, ...] = ()
    """The decimals in it, as written."""

    @classmethod
    def of(cls, value: Fraction) -> Computed:
        """Return what an integer or a decimal is worth."""
        return cls(value)


def computed(side: Side, scalars: Scalars) -> Computed | str:
    """Return what a side is worth, or why it isn't known: ``unknowns``, or ``unread``.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    try:
        tree = trees(side.text)[0]
    except CannotReadError:
        return "unread"
    for part in walk(tree):
        if isinstance(part, Sym) or (isinstance(part, Call) and part.name.endswith(("()", "_"))):
            return "unknowns"
        if (
            not isinstance(part, _PLAIN)
            and not (isinstance(part, Call) and part.name in _CALLS)
            and part != Const("pi")
        ):
            return "unknowns" if isinstance(part, Const | PlusMinus) else "unread"
    try:
        value = scalars.number(tree)
        if value is None:
            return "unread"
        others = tuple(
            v for v in (scalars.number(other) for other in _conventions(tree, side)) if v is not None
        )
    except (NoValueError, CannotReadError):
        return "unread"
    exact = all(not isinstance(part, Const | Call) for part in walk(tree))
    decimals = tuple(part for part in walk(tree) if isinstance(part, Num) and part.places)
    return Computed(value, exact, others, _step(tree), decimals)


def _step(tree: Node) -> Fraction | None:
    if isinstance(tree, Percent):
        inner = _step(tree.value)
        return None if inner is None else inner / 100
    return Fraction(1, 10**tree.places) if isinstance(tree, Num) and tree.places else None


def _conventions(tree: Node, side: Side) -> Iterator[Node]:
    if side.grouped != side.text and side.text.count("/") > 1:
        yield trees(side.grouped)[0]
    if side.dash:
        yield trees(f"- {side.text}")[0]
    if any(isinstance(part, Percent | Degrees) for part in walk(tree)):
        yield _bare(tree)
        if isinstance(tree, Add) and len(tree.terms) == 2 and not isinstance(tree.terms[0], Percent):
            first, second = tree.terms
            yield Add((first, Mul((first, second))))  # $50 + 10%


def _bare(tree: Any) -> Any:  # noqa: ANN401 - it rebuilds whatever it is given
    return rebuilt(tree, lambda part: _bare(part.value) if isinstance(part, Percent | Degrees) else None)


def agree(left: Computed, right: Computed, *, about: bool) -> bool:
    """Tell whether two sides are equal in some convention, a decimal being rounded or cut off to the digits shown.

    Args:
        left: What one side is worth.
        right: What the other is worth.
        about: Stated as about equal.
    """
    return any(
        a == b or _close(a, b, left, right, about=about)
        for a in (left.value, *left.others)
        for b in (right.value, *right.others)
    )


def may_agree(left: Computed, right: Computed, *, rounded: set[Fraction]) -> bool:
    """Tell whether two sides that differ may do so because decimals in them were rounded earlier in the chain.

    Args:
        left: What one side is worth.
        right: What the other is worth.
        rounded: The decimals that were; each may be off by one in its last place.
    """
    used = [one for side in (left, right) for one in side.decimals if one.value in rounded and one.value]
    slack = sum((Fraction(1, 10 ** (one.places or 0)) / abs(one.value) for one in used), Fraction(0))
    return abs(left.value - right.value) <= slack * max(abs(left.value), abs(right.value))


def _close(a: Fraction, b: Fraction, left: Computed, right: Computed, *, about: bool) -> bool:
    difference = abs(a - b)
    size = max(abs(a), abs(b))
    if about:
        return difference <= ABOUT * size
    places = [one.places or 0 for side in (left, right) for one in side.decimals]
    if max(places, default=0) >= CALCULATED_PLACES and difference <= NOISE * size:
        return True
    if _is_rounding(a, left.step, b) or _is_rounding(b, right.step, a):
        return True
    return not (left.exact and right.exact) and difference <= size / 10**40


def _is_rounding(shown: Fraction, step: Fraction | None, exact: Fraction) -> bool:
    """Tell whether a decimal is ``exact``, rounded or cut off at its last place."""
    if step is None or (exact / step).denominator == 1:
        return False
    difference = abs(shown - exact)
    return difference * 2 <= step or (difference < step and abs(shown) < abs(exact))
