"""Tell whether a condition holds, once values stand in the place of its unknowns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

from verifiers.math.comparison import Comparison, Scalars
from verifiers.math.conditions import (
    Between,
    Condition,
    Congruent,
    Divides,
    Every,
    Has,
    Opposite,
    Some,
    Within,
)
from verifiers.math.meaning import Piece, Region, meaning, region_of
from verifiers.math.properties import KINDS, has, whole
from verifiers.math.rational import NoValueError, UndefinedError, decimals_alike
from verifiers.math.rules import RULES
from verifiers.math.showing import shown
from verifiers.math.substitution import exactly, free_names
from verifiers.math.tree import Const, Node, Relation, SetOf, SetOp, Tuple

__all__ = ["Finding", "finding"]

_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0, "<=": lambda order: order <= 0, ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}  # fmt: skip
_SETS = {"integers": "integer", "naturals": "natural", "rationals": "rational", "reals": "real"}
_VALUELESS = (Tuple, SetOf, SetOp)


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a condition holds."""

    holds: bool | None
    """``None`` when it can't be told."""

    values: tuple[str, ...] = ()
    """The values of its sides, for the evidence."""

    why: str = ""
    """What makes it false or doubtful, in words."""


def finding(condition: Condition, scalars: Scalars) -> Finding:
    """Return whether ``condition``, with values in place of its unknowns, holds.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    try:
        return _finding(condition, scalars)
    except UndefinedError as error:
        return Finding(holds=False, why=str(error))
    except NoValueError as error:
        return Finding(holds=None, why=str(error))


def _finding(condition: Condition, scalars: Scalars) -> Finding:  # noqa: PLR0911 - one line per kind of condition
    match condition:
        case Every(parts):
            return _all([finding(part, scalars) for part in parts])
        case Some(parts):
            return _any([finding(part, scalars) for part in parts])
        case Opposite(part):
            return _opposite(finding(part, scalars))
        case Relation(ops, sides):
            pairs = zip(ops, pairwise(sides), strict=True)
            return _all([_related(op, left, right, scalars) for op, (left, right) in pairs])
        case Divides(divisor, number):
            return _of_integers(scalars, (divisor, number), lambda d, n: n % d == 0 if d else n == 0)
        case Congruent(left, right, modulus):
            nodes = (left, right, modulus)
            return _of_integers(scalars, nodes, lambda a, b, m: (a - b) % m == 0 if m else a == b)
        case Has(subject, kind):
            return _has(scalars, subject, kind)
        case Within(subject, where):
            return _within(scalars, subject, where)
        case Between(subject, low, high):
            return _between(scalars, subject, low, high)
        case _:
            assert_never(condition)


def _opposite(said: Finding) -> Finding:
    if said.holds is None:
        return said
    return Finding(holds=not said.holds, values=said.values)


def _all(findings: Iterable[Finding]) -> Finding:
    every = list(findings)
    for outcome in (False, None):
        first = next((one for one in every if one.holds is outcome), None)
        if first is not None:
            return first
    if len(every) == 1:
        return every[0]
    return Finding(holds=True, values=tuple(value for one in every for value in one.values)[:8])


def _any(findings: Iterable[Finding]) -> Finding:
    every = list(findings)
    for outcome in (True, None):
        first = next((one for one in every if one.holds is outcome), None)
        if first is not None:
            return first
    return Finding(holds=False, values=every[0].values, why="none of the alternatives holds")


# -- relations --------------------------------------------------------------------------------------------------------


def _related(op: str, left: Node, right: Node, scalars: Scalars) -> Finding:
    left, right = exactly(left) if op != "~" else left, exactly(right) if op != "~" else right
    values = shown(left, scalars), shown(right, scalars)
    if op in ("=", "!="):
        holds, why = _equal(left, right, scalars)
        return Finding(holds if op == "=" or holds is None else not holds, values, why)
    if op == "~":
        return Finding(_about(left, right, scalars), values, "how close is close enough isn't said")
    order = scalars.order(left, right)
    if order is None:
        return Finding(None, values, _undecided(left, right) or "the two sides have no order")
    return Finding(_ORDERS[op](order), values)


def _equal(left: Node, right: Node, scalars: Scalars) -> tuple[bool | None, str]:
    if isinstance(left, _VALUELESS) or isinstance(right, _VALUELESS):
        comparison = Comparison(scalars, RULES)
        same = comparison.same(meaning(left), meaning(right))
        return same, "; ".join(comparison.doubts)
    same = scalars.equal(left, right)
    unsaid = _undecided(left, right)
    if unsaid and not same:
        return None, unsaid
    return same, "" if same is not None else "it can't be told whether the two sides are equal"


def _undecided(*sides: Node) -> str:
    """Return what is unknown still, in words; nothing when nothing is."""
    names = sorted(free_names(sides))
    return f"the answer doesn't say what {', '.join(names[:5])} is" if names else ""


def _about(left: Node, right: Node, scalars: Scalars) -> bool | None:
    a, b = scalars.number(left), scalars.number(right)
    if a is None or b is None:
        return None
    return True if a == b or decimals_alike(left, a, right, b) is not False else None


# -- integers and sets ------------------------------------------------------------------------------------------------


def _of_integers(scalars: Scalars, nodes: tuple[Node, ...], holds: Callable[..., bool]) -> Finding:
    nodes = tuple(exactly(node) for node in nodes)
    values = tuple(shown(node, scalars) for node in nodes)
    unsaid = _undecided(*nodes)
    if unsaid:
        return Finding(None, values, unsaid)
    for node, value in zip(nodes, values, strict=True):
        is_integer = scalars.is_a(node, "integer")
        if not is_integer:
            return Finding(is_integer, values, f"{value} is not known to be an integer")
    integers = [whole(scalars, node) for node in nodes]
    if None in integers:
        return Finding(None, values, "an integer could not be computed")
    return Finding(holds(*integers), values)


def _has(scalars: Scalars, subject: Node, kind: str) -> Finding:
    if kind not in KINDS:
        return Finding(None, (), f"{kind!r} is no property that is checked")
    subject = exactly(subject)
    values = (shown(subject, scalars),)
    unsaid = _undecided(subject)
    if unsaid:
        return Finding(None, values, unsaid)
    holds = has(scalars, subject, kind)
    return Finding(holds, values, f"it can't be told whether it is {kind}" if holds is None else "")


def _within(scalars: Scalars, subject: Node, where: Node) -> Finding:
    if isinstance(where, Const) and where.name in _SETS:
        return _has(scalars, subject, _SETS[where.name])
    if where == Const("complexes"):
        return Finding(None if _undecided(subject) else True, (shown(subject, scalars),))
    if isinstance(where, SetOf) or (isinstance(where, Tuple) and not where.opening):
        return _any([_related("=", subject, item, scalars) for item in where.items])
    if isinstance(where, SetOp):
        return _in_operation(scalars, subject, where)
    region = region_of(where)
    if region is None:
        return Finding(None, (), "the set it should be in is not understood")
    return _in_region(scalars, subject, region)


def _in_operation(scalars: Scalars, subject: Node, where: SetOp) -> Finding:
    left, right = (_within(scalars, subject, side) for side in (where.left, where.right))
    if where.op == "cup":
        return _any((left, right))
    if where.op == "setminus":
        right = _opposite(right)
    return _all((left, right))


def _in_region(scalars: Scalars, subject: Node, region: Region) -> Finding:
    return _any([_in_piece(scalars, subject, piece) for piece in region.pieces])


def _in_piece(scalars: Scalars, subject: Node, piece: Piece) -> Finding:
    sides = (piece.low, subject, piece.high)
    ops = ("<=" if piece.low_closed else "<", "<=" if piece.high_closed else "<")
    finite = [
        (op, pair)
        for op, pair in zip(ops, pairwise(sides), strict=True)
        if not any(part == Const("inf") for end in pair for part in (end, *getattr(end, "factors", ())))
    ]
    if not finite:
        return _has(scalars, subject, "real")
    return _all([_related(op, *pair, scalars) for op, pair in finite])


def _between(scalars: Scalars, subject: Node, low: Node, high: Node) -> Finding:
    inside = _all([_related("<=", low, subject, scalars), _related("<=", subject, high, scalars)])
    if inside.holds and 0 in (scalars.order(low, subject), scalars.order(subject, high)):
        return Finding(None, inside.values, "it is one of the bounds, and it isn't said whether it may be")
    return inside
