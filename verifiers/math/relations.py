"""Compare assignments and equations."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from verifiers.math.comparison import Comparison
from verifiers.math.meaning import Assigned, Meaning, Region, symbols
from verifiers.math.regions import same_region
from verifiers.math.tree import (
    Add,
    Call,
    Listing,
    Matrix,
    Mul,
    Node,
    Num,
    Relation,
    SetOf,
    Sym,
    Text,
    Tuple,
    parts,
)

__all__ = ["assigned", "relation"]

_COORDINATES = frozenset(("x", "y", "z"))


def assigned(comparison: Comparison, left: Assigned, right: Meaning) -> bool | None:
    """Compare an assignment: it says its value, and two of them must not name different things."""
    if isinstance(right, Assigned):
        return _two_assigned(comparison, left, right)
    if isinstance(right, Relation) and right.ops == ("=",):
        return _same_equation(comparison, _equation(left), right)
    if isinstance(left.value, Region) and isinstance(right, Region | Tuple):
        return same_region(comparison, left.value, right)
    return comparison.same(left.value, right)


def _two_assigned(comparison: Comparison, left: Assigned, right: Assigned) -> bool | None:
    if left.name == right.name or isinstance(left.value, Region) or isinstance(right.value, Region):
        return comparison.same(left.value, right.value)
    lines = any(symbols(left.value)) and any(symbols(right.value))  # y = 2x + 3 may be x = (y - 3)/2
    if lines and _same_equation(comparison, _equation(left), _equation(right)):
        return True
    same = comparison.same(left.value, _renamed(left.name, right))
    if same is False or not (isinstance(left.name, Sym) and isinstance(right.name, Sym)):
        return same
    if {left.name.name, right.name.name} & _COORDINATES:  # x = 3 and y = 3 are two lines
        return False
    return comparison.doubt("the values agree but their names differ")


def relation(comparison: Comparison, left: Relation, right: Meaning) -> bool | None:
    """Compare an unsolved relation: equations are the same when they are multiples, chains side by side."""
    if not isinstance(right, Relation):
        if left.ops == ("=",) and (len(set(symbols(left))) > 1 or any(symbols(right))):
            return False
        return comparison.doubt("a relation that is not solved cannot be compared with a value")
    if left.ops == right.ops == ("=",):
        return _same_equation(comparison, left, right)
    turned = [_reversed(right)] if set(right.ops) <= {"=", "!="} else []
    for chain in (right, *turned):
        if left.ops == chain.ops and comparison.all_same(zip(left.sides, chain.sides, strict=True)):
            return True
    if left.ops == right.ops and left.ops in (("<",), ("<=",)):
        return comparison.scalars.proportional(_difference(left), _difference(right), positive=True)
    return False


def _same_equation(comparison: Comparison, left: Relation | None, right: Relation | None) -> bool | None:
    if left is None or right is None:
        return False
    return comparison.scalars.proportional(_difference(left), _difference(right), positive=False)


def _equation(assigned: Assigned) -> Relation | None:
    """Return ``y = 2x + 3`` as an equation, if it can be one."""
    value = assigned.value
    if isinstance(value, Assigned | Region | Listing | SetOf | Tuple | Matrix | Text) or not isinstance(
        assigned.name, Sym
    ):
        return None
    return Relation(("=",), (assigned.name, value))


def _difference(equation: Relation) -> Node:
    return Add((equation.sides[0], Mul((Num(Fraction(-1)), equation.sides[1]))))


def _reversed(chain: Relation) -> Relation:
    return Relation(tuple(reversed(chain.ops)), tuple(reversed(chain.sides)))


def _renamed(name: Node, other: Assigned) -> Meaning:
    """Return the value of ``other`` with its function's argument called as in ``name``: W(x) is W(n)."""
    match name, other.name:
        case Call(_, (Sym() as mine,)), Call(_, (Sym() as theirs,)):
            renamed: Meaning = _substituted(other.value, theirs, mine)
            return renamed
        case _:
            return other.value


def _substituted(tree: Any, old: Sym, new: Sym) -> Any:  # noqa: ANN401 - it rebuilds whatever it is given
    if tree == old:
        return new
    changed = [_substituted(part, old, new) for part in parts(tree)]
    if isinstance(tree, tuple):
        return tuple(changed)
    return type(tree)(*changed) if changed else tree
