"""Decide plain numbers exactly, without SymPy: fractions of bounded size."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from verifiers.math.tree import (
    Add,
    Based,
    Call,
    Degrees,
    Div,
    Mul,
    Node,
    Num,
    Percent,
    Pow,
    Quantity,
)  # fmt: skip

__all__ = [
    "NeedsAlgebraError",
    "NoValueError",
    "RationalScalars",
    "UndefinedError",
    "exact_value",
    "rounded_alike",
]

MAX_BITS = 20_000  # of any intermediate numerator or denominator
ENOUGH_PLACES = 6  # a decimal with six places that rounds the other side is meant to be it


class NeedsAlgebraError(Exception):
    """Raised when a value is not a plain rational number, or not a small one."""


class NoValueError(Exception):
    """Raised when an expression has no value, or one that is too large to compute; the message says which."""


class UndefinedError(NoValueError):
    """Raised when an expression surely has no value: it divides by zero."""


def exact_value(node: Node) -> Fraction:  # noqa: C901, PLR0911, PLR0912 - one line per kind of node
    """Return the rational value of ``node``.

    Raises:
        NeedsAlgebraError: It has none, or computing it might be expensive.
    """
    match node:
        case Num(value):
            return value
        case Add(terms):
            return _bounded(sum((exact_value(t) for t in terms), Fraction(0)))
        case Mul(factors):
            product = Fraction(1)
            for factor in factors:
                product = _bounded(product * exact_value(factor))
            return product
        case Div(above, below):
            divisor = exact_value(below)
            if divisor == 0:
                raise NeedsAlgebraError
            return _bounded(exact_value(above) / divisor)
        case Pow(base, exponent):
            return _power(exact_value(base), exact_value(exponent))
        case Percent(value):
            return exact_value(value) / 100
        case Quantity(value, _):
            return exact_value(value)
        case Based(digits, base):
            return Fraction(based_value(digits, base))
        case Call("factorial", (inner,)):
            n = exact_value(inner)
            if n.denominator != 1 or not 0 <= n <= 200:
                raise NeedsAlgebraError
            product = Fraction(1)
            for k in range(2, int(n) + 1):
                product *= k
            return product
        case Call("abs", (inner,)):
            return abs(exact_value(inner))
        case Call("sqrt", (inner,)):
            return _root(exact_value(inner))
        case Degrees() | _:
            raise NeedsAlgebraError


def based_value(digits: str, base: int) -> int:
    """Return the value of a numeral.

    Raises:
        NeedsAlgebraError: A digit does not exist in that base.
    """
    try:
        return int(digits, base)
    except ValueError as error:
        raise NeedsAlgebraError from error


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise NeedsAlgebraError
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_BITS or (base == 0 and exponent <= 0):
        raise NeedsAlgebraError
    bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(int(exponent))
    if bits > MAX_BITS:
        raise NeedsAlgebraError
    return base ** int(exponent)


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise NeedsAlgebraError
    above, below = isqrt(value.numerator), isqrt(value.denominator)
    if above * above != value.numerator or below * below != value.denominator:
        raise NeedsAlgebraError
    return Fraction(above, below)


def _places(node: Node) -> int:
    return (node.places or 0) if isinstance(node, Num) else 0


def rounded_alike(written: Num, exact: Fraction, *, other_places: int) -> bool | None:
    """Tell whether a decimal that differs from ``exact`` is it, rounded or cut off.

    Args:
        written: A decimal as it was written.
        exact: The other side, or a close approximation of it.
        other_places: How many places the other side has if it is a decimal as well, else 0.

    Returns:
        True with at least ``ENOUGH_PLACES`` places, ``None`` (cannot tell whether rounding was asked for) with fewer,
        False when the decimal is no rounding of the other side.
    """
    if not written.places or written.value == 0 or 0 < other_places <= written.places:
        return False
    step = Fraction(1, 10**written.places)
    difference = abs(written.value - exact)
    if difference > step or (difference * 2 > step and abs(written.value) > abs(exact)):
        return False
    significant = len(str(abs(written.value) // step)) >= 4
    if written.places >= ENOUGH_PLACES and significant:
        return True
    if other_places or (10 ** (written.places + 2) * exact).denominator == 1:
        return False
    return None


class RationalScalars:
    """Compares values that are plain rational numbers; anything else needs algebra."""

    method = "rational"

    def equal(self, left: Node, right: Node) -> bool | None:
        """Tell whether two values are equal; ``None`` when it can't be told.

        Raises:
            NeedsAlgebraError: One of them is not a plain rational number.
        """
        a, b = exact_value(left), exact_value(right)
        if a == b:
            return True
        return decimals_alike(left, a, right, b)

    def order(self, left: Node, right: Node) -> int | None:
        """Return -1, 0 or 1 as ``left`` is below, at or above ``right``."""
        a, b = exact_value(left), exact_value(right)
        return (a > b) - (a < b)

    def rational(self, node: Node) -> Fraction | None:
        """Return the exact value.

        Raises:
            NeedsAlgebraError: It is not a plain rational number.
        """
        return exact_value(node)

    def is_a(self, node: Node, kind: str) -> bool | None:
        """Tell whether a value is ``integer``, ``rational`` or ``real``.

        Raises:
            NeedsAlgebraError: It is not a plain rational number.
        """
        value = exact_value(node)
        return kind != "integer" or value.denominator == 1

    def number(self, node: Node) -> Fraction | None:
        """Return the exact value.

        Raises:
            NeedsAlgebraError: It is not a plain rational number.
        """
        return exact_value(node)

    def proportional(self, left: Node, right: Node, *, positive: bool) -> bool | None:  # noqa: ARG002 - the protocol's
        """Tell whether the quotient of two expressions is a constant.

        Raises:
            NeedsAlgebraError: Always: expressions with variables need algebra.
        """
        raise NeedsAlgebraError


def decimals_alike(left: Node, a: Fraction, right: Node, b: Fraction) -> bool | None:
    """Tell whether two different values agree because one is written as a rounded decimal."""
    verdicts = []
    if isinstance(left, Num) and left.places:
        verdicts.append(rounded_alike(left, b, other_places=_places(right)))
    if isinstance(right, Num) and right.places:
        verdicts.append(rounded_alike(right, a, other_places=_places(left)))
    return True if True in verdicts else None if None in verdicts else False
