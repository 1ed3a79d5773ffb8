"""Compare single values and what is attached to them: units, per cent, degrees, bases, moduli."""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.comparison import Comparison
from verifiers.math.meaning import INFINITY, MINUS_INFINITY, Meaning
from verifiers.math.rational import NeedsAlgebraError, based_value, exact_value
from verifiers.math.substitution import decadic
from verifiers.math.tree import (
    Add,
    Based,
    Call,
    Const,
    Degrees,
    Div,
    Listing,
    Matrix,
    Mul,
    Node,
    Num,
    Percent,
    Quantity,
    Ratio,
    SetOf,
    Sym,
    Text,
    walk,
)  # fmt: skip
from verifiers.math.units import unit_of

__all__ = ["based", "degrees", "letters_of", "percent", "quantity", "ratio", "residue", "value"]


def quantity(comparison: Comparison, left: Quantity, right: Node) -> bool | None:
    """Compare a value with a unit; a side without one is taken to mean the same unit."""
    if not isinstance(right, Quantity):
        return comparison.same(left.value, right)
    if left.unit.lower() == right.unit.lower():
        return comparison.same(left.value, right.value)
    one, other = unit_of(left.unit), unit_of(right.unit)
    if one.kind == other.kind:
        return comparison.same(_times(left.value, one.factor), _times(right.value, other.factor))
    if one.kind.startswith(("plain", "ordinal")) or other.kind.startswith(("plain", "ordinal")):
        return comparison.same(left.value, right.value)
    if one.kind.startswith("noun:") or other.kind.startswith("noun:"):
        same = comparison.same(left.value, right.value)
        return comparison.doubt("the numbers agree but the words behind them differ") if same else same
    return False


def percent(comparison: Comparison, left: Percent, right: Node) -> bool | None:
    """Compare a percentage; a bare number may be what stands before the sign, or the hundredth part."""
    if isinstance(right, Percent):
        return value(comparison, left.value, right.value)
    return _either(comparison, left.value, Div(left.value, Num(Fraction(100))), right)


def degrees(comparison: Comparison, left: Degrees, right: Node) -> bool | None:
    """Compare an angle; a bare number may be degrees or radians."""
    if isinstance(right, Degrees):
        return value(comparison, left.value, right.value)
    return _either(comparison, left.value, Div(Mul((left.value, Const("pi"))), Num(Fraction(180))), right)


def _either(comparison: Comparison, one: Node, other: Node, right: Node) -> bool | None:
    first = comparison.same(one, right)
    if first:
        return True
    second = comparison.same(other, right)
    return True if second else None if None in (first, second) else False


def based(comparison: Comparison, left: Based, right: Node) -> bool | None:
    """Compare a numeral in a base: by digits in the same base, by value otherwise."""
    if isinstance(right, Based) and left.base == right.base:
        return left.digits.lower() == right.digits.lower()
    try:
        number = Num(Fraction(based_value(left.digits, left.base)))
        other = Num(Fraction(based_value(right.digits, right.base))) if isinstance(right, Based) else right
    except NeedsAlgebraError:
        return comparison.doubt("a digit does not exist in its base")
    same = comparison.same(number, other)
    if same is False and isinstance(right, Num) and right.value == int(left.digits):
        return comparison.doubt("the digits agree but only one side names the base")
    return same


def residue(comparison: Comparison, left: Call, right: Node) -> bool | None:
    """Compare ``a (mod m)``: residues of the same modulus, or the bare residue."""
    if not (isinstance(right, Call) and right.name == "mod"):
        return comparison.same(left.args[0], right)
    if not comparison.same(left.args[1], right.args[1]):
        return False
    quotient = Div(Add((left.args[0], _times(right.args[0], Fraction(-1)))), left.args[1])
    return exact_value(quotient).denominator == 1


def ratio(comparison: Comparison, left: Ratio, right: Meaning) -> bool | None:
    """Compare a ratio: the same when all quotients are."""
    if isinstance(right, Ratio):
        if len(left.items) != len(right.items):
            return False
        rest = zip(left.items[1:], right.items[1:], strict=True)
        return comparison.all_same([(Mul((left.items[0], b)), Mul((right.items[0], a))) for a, b in rest])
    if len(left.items) == 2 and not isinstance(right, Listing | SetOf | Matrix | Text):
        return comparison.same(Div(left.items[0], left.items[1]), right)
    return False


def value(comparison: Comparison, left: Node, right: Node) -> bool | None:
    """Compare two plain values."""
    if left == right:
        return True
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Call) and one.name == "mod":
            return residue(comparison, one, other)
    letters = letters_of(left), letters_of(right)
    if (
        letters[0] and letters[1] and max(len(letters[0]), len(letters[1])) > 2
    ):  # three letters or more may be a word
        if letters[0].lower() == letters[1].lower():
            return True
        if sorted(letters[0]) == sorted(letters[1]):
            return comparison.doubt("the same letters in another order")
        return False
    if {INFINITY, MINUS_INFINITY} & {left, right}:
        return False
    same = comparison.scalars.equal(left, right)
    if same is False:
        return _doubted(comparison, left, right)
    if same is None:
        comparison.doubt(
            "the values agree only as far as a decimal was written out, or only for some arguments"
        )
    return same


def _doubted(comparison: Comparison, left: Node, right: Node) -> bool | None:
    """Return that two values differ, unless they would be the same in another convention."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Call) and one.name.endswith(" of") and one.args == (other,):
            return comparison.doubt("one names a thing, the other perhaps its length")
    logarithms = any(
        isinstance(p, Call) and p.name == "log" and len(p.args) == 1 for p in walk((left, right))
    )
    if logarithms and comparison.scalars.equal(decadic(left), decadic(right)):
        return comparison.doubt("they agree only if logarithms are to the base ten")
    return False


def letters_of(node: Node) -> str | None:
    """Return the letters of a product that may have been a word, else ``None``."""
    match node:
        case Sym(name) | Const("e" | "i" as name) if len(name) == 1:
            return name
        case Mul(factors):
            letters = [None if isinstance(f, Mul) else letters_of(f) for f in factors]
            known = [c for c in letters if c]
            return "".join(known) if len(known) == len(letters) else None
        case _:
            return None


def _times(node: Node, factor: Fraction) -> Node:
    return node if factor == 1 else Mul((Num(factor), node))
