"""Compare answers that are several values: points, lists, sets, matrices."""

from __future__ import annotations

from typing import Any

from verifiers.math.comparison import Comparison
from verifiers.math.meaning import Assigned, Meaning, meaning
from verifiers.math.tree import Listing, Matrix, Node, SetOf, SetOp, Sym, Text, Tuple

__all__ = ["listing", "matrix", "point", "set_operation"]


def listing(comparison: Comparison, left: Listing | SetOf, right: Meaning) -> bool | None:
    """Compare a list or a set: every item of each side needs an equal on the other."""
    if isinstance(right, Listing | SetOf):
        by_name = _by_name(left), _by_name(right)
        if by_name[0] and by_name[1] and by_name[0].keys() == by_name[1].keys():
            return comparison.all_same((value, by_name[1][name]) for name, value in by_name[0].items())
        named = [all(isinstance(i, Assigned) for i in side.items) for side in (left, right)]
        if any(named) and not all(named) and len(left.items) == len(right.items):
            return _named_against_bare(comparison, left, right)
        return comparison.same_items(left.items, right.items)
    if isinstance(right, Tuple):
        return _point_against_items(comparison, right, left)
    if isinstance(right, Text):
        return comparison.doubt("words cannot be compared with a list") if left.items else False
    same = comparison.same_items(left.items, (right,))
    if same and len(left.items) > 1:
        return comparison.doubt("one side says the same value several times")
    return same


def _by_name(side: Listing | SetOf) -> dict[Node, Meaning]:
    """Return what ``x = 1, y = 2`` assigns to each name; nothing when a name stands twice or an item has none."""
    items: list[Any] = list(side.items)
    values: dict[Node, Meaning] = {item.name: item.value for item in items if isinstance(item, Assigned)}
    return values if len(values) == len(items) else {}


def _named_against_bare(comparison: Comparison, left: Listing | SetOf, right: Listing | SetOf) -> bool | None:
    """Compare ``x = 1, y = 2`` with ``1, 2``: the values in their order, or nobody knows which is which."""
    items: list[Any] = [*left.items, *right.items]
    names = {item.name for item in items if isinstance(item, Assigned)}
    if len(names) == 1:
        return comparison.same_items(left.items, right.items)
    return _ordered_or_doubtful(
        comparison, left, right, "the values agree, but one side doesn't say which is which"
    )


def _ordered_or_doubtful(
    comparison: Comparison, left: Tuple | Listing | SetOf, right: Listing | SetOf, why: str
) -> bool | None:
    ordered = comparison.all_same(zip(left.items, right.items, strict=True))
    if comparison.collection == "list":
        return ordered
    if ordered is False and comparison.in_any_order(left.items, right.items) is False:
        return False
    return True if ordered else comparison.doubt(why)


def point(comparison: Comparison, left: Tuple, right: Meaning) -> bool | None:
    """Compare a point or an interval: items keep their order, and of two items the brackets count."""
    if isinstance(right, Tuple):
        if len(left.items) != len(right.items):
            return False
        if len(left.items) == 2 and (left.opening, left.closing) != (right.opening, right.closing):
            return False
        return comparison.all_same(zip(left.items, right.items, strict=True))
    if isinstance(right, Matrix):
        if 1 not in (len(right.rows), len(right.rows[0])):
            rows = tuple(item.items for item in left.items if isinstance(item, Tuple))
            same_length = len(rows) == len(left.items) and len({len(row) for row in rows}) == 1
            return matrix(comparison, Matrix(rows), right) if same_length else False  # [[1, 2], [3, 4]]
        entries = tuple(entry for row in right.rows for entry in row)
        return point(comparison, left, Tuple(left.opening, entries, left.closing))
    return False


def _point_against_items(comparison: Comparison, left: Tuple, right: Listing | SetOf) -> bool | None:
    if len(left.items) != len(right.items):
        return comparison.in_any_order((left,), right.items)
    why = "one is in brackets, the other is a list: the items agree, their order may matter"
    names = [name.name for name in _by_name(right) if isinstance(name, Sym)]
    if names != sorted(names):  # y = 2, x = 1 may be the point (1, 2)
        return comparison.in_any_order(left.items, right.items) and comparison.doubt(why)
    same = _ordered_or_doubtful(comparison, left, right, why)
    plain = isinstance(right, Listing) and (left.opening == "(" or len(left.items) > 2)
    return same if plain or not same else comparison.doubt(why)


def matrix(comparison: Comparison, left: Matrix, right: Meaning) -> bool | None:
    """Compare a matrix entry by entry."""
    if not isinstance(right, Matrix):
        return comparison.same(left.rows[0][0], right) if len(left.rows) == len(left.rows[0]) == 1 else False
    if (len(left.rows), len(left.rows[0])) != (len(right.rows), len(right.rows[0])):
        return False
    rows = zip(left.rows, right.rows, strict=True)
    return comparison.all_same([pair for a, b in rows for pair in zip(a, b, strict=True)])


def set_operation(comparison: Comparison, left: SetOp, right: Meaning) -> bool | None:
    """Compare another set expression: the same when its parts are, else it can't be told."""
    if isinstance(right, SetOp) and left.op == right.op:
        sides = [(meaning(left.left), meaning(right.left)), (meaning(left.right), meaning(right.right))]
        if comparison.all_same(sides):
            return True
    return comparison.doubt("set expressions of this kind are compared by their text only")
