"""Properties of a number that have a name: an integer, prime, even, positive, a square."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt

from verifiers.math.comparison import Scalars
from verifiers.math.rational import NoValueError
from verifiers.math.tree import Node, Num

__all__ = ["KINDS", "has", "whole"]

MAX_PRIME = 3_317_044_064_679_887_385_961_981  # below it the thirteen bases suffice (Sorenson & Webster 2015)
_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_ZERO = Num(Fraction(0))


def has(scalars: Scalars, node: Node, kind: str) -> bool | None:
    """Tell whether a value is of a kind; ``None`` when it can't be told.

    Raises:
        NoValueError: It has no value, or one too large to tell.
    """
    if kind in _SIGNS:
        order = scalars.order(node, _ZERO)
        return None if order is None else order in _SIGNS[kind]
    if kind in ("rational", "real"):
        return scalars.is_a(node, kind)
    if kind == "irrational":
        rational = scalars.is_a(node, "rational")
        return None if rational is None else not rational and scalars.is_a(node, "real")
    is_integer = scalars.is_a(node, "integer")
    if not is_integer:
        return is_integer
    value = whole(scalars, node)
    return None if value is None else _OF_INTEGERS[kind](value)


def whole(scalars: Scalars, node: Node) -> int | None:
    """Return the value of an integer; ``None`` when it is none or can't be told."""
    value = scalars.rational(node)
    return int(value) if value is not None and value.denominator == 1 else None


def _is_prime(n: int) -> bool:
    """Miller and Rabin's test with bases that are known to suffice below ``MAX_PRIME``."""
    if n < 2:
        return False
    if any(n % p == 0 for p in _BASES):
        return n in _BASES
    if n >= MAX_PRIME:
        raise NoValueError("a number that large is not tested for being prime")
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _BASES:
        power = pow(base, odd, n)
        if power in (1, n - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % n
            if power == n - 1:
                break
        else:
            return False
    return True


def _is_cube(n: int) -> bool:
    low, high = 0, 1 << (abs(n).bit_length() // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < abs(n) else (low, middle)
    return low**3 == abs(n)


_SIGNS = {
    "positive": (1,), "negative": (-1,), "nonnegative": (0, 1), "nonpositive": (-1, 0), "nonzero": (-1, 1),
}  # fmt: skip
_OF_INTEGERS: dict[str, Callable[[int], bool | None]] = {
    "integer": lambda _: True,
    "natural": lambda n: None if n == 0 else n > 0,  # some count nought among them
    "even": lambda n: n % 2 == 0,
    "odd": lambda n: n % 2 == 1,
    "prime": _is_prime,
    "composite": lambda n: n > 3 and not _is_prime(n),
    "square": lambda n: n >= 0 and isqrt(n) ** 2 == n,
    "cube": _is_cube,
}
KINDS = frozenset(_SIGNS) | frozenset(_OF_INTEGERS) | {"rational", "irrational", "real"}
