"""Compare regions of real numbers: unions of intervals, however they were written."""

from __future__ import annotations

from verifiers.math.comparison import Comparison
from verifiers.math.meaning import INFINITY, MINUS_INFINITY, Meaning, Piece, Region, region_of
from verifiers.math.tree import Listing, Node, SetOf, SetOp, Sym, Tuple

__all__ = ["region", "same_region"]


def region(comparison: Comparison, left: Region, right: Meaning) -> bool | None:
    """Compare a region; a pair in brackets is read as an interval."""
    if isinstance(right, Region):
        same = same_region(comparison, left, right)
        if same and isinstance(left.variable, Sym) and isinstance(right.variable, Sym):
            return left.variable == right.variable or comparison.doubt(
                "the same region of different variables"
            )
        return same
    if isinstance(right, Tuple | SetOf | SetOp):
        return same_region(comparison, left, right)
    if isinstance(right, Listing):
        return comparison.doubt("a region and a list are hard to compare")
    return False


def same_region(comparison: Comparison, left: Region, right: Region | Tuple | SetOf | SetOp) -> bool | None:
    """Tell whether two regions hold the same numbers."""
    other = right if isinstance(right, Region) else region_of(right)
    if other is None:
        return comparison.doubt("a set expression was not computed") if isinstance(right, SetOp) else False
    one, two = _tidied(comparison, left), _tidied(comparison, other)
    if len(one) != len(two):
        return False
    pairs: list[tuple[Meaning, Meaning]] = []
    for a, b in zip(one, two, strict=True):
        if (a.low_closed, a.high_closed) != (b.low_closed, b.high_closed):
            return False
        pairs += [(a.low, b.low), (a.high, b.high)]
    return comparison.all_same(pairs)


def _tidied(comparison: Comparison, region: Region) -> list[Piece]:
    """Return the pieces in order, those that touch joined; as they stand when their ends have no order."""
    try:
        pieces = _sorted(comparison, region.pieces)
        tidied = pieces[:1]
        for piece in pieces[1:]:
            joined = _joined(comparison, tidied[-1], piece)
            if joined is None:
                tidied.append(piece)
            else:
                tidied[-1] = joined
    except _UnorderedError:
        return list(region.pieces)
    return tidied


def _sorted(comparison: Comparison, pieces: tuple[Piece, ...]) -> list[Piece]:
    """Insertion sort by the lower end, since two ends may turn out to have no order."""
    ordered: list[Piece] = []
    for piece in pieces:
        at = len(ordered)
        while at and _order(comparison, ordered[at - 1].low, piece.low) > 0:
            at -= 1
        ordered.insert(at, piece)
    return ordered


def _joined(comparison: Comparison, left: Piece, right: Piece) -> Piece | None:
    """Return two pieces that overlap or touch as one, given that ``left`` starts first."""
    overlap = _order(comparison, left.high, right.low)
    if overlap < 0 or (overlap == 0 and not (left.high_closed or right.low_closed)):
        return None
    starts_together = _order(comparison, left.low, right.low) == 0
    ends = _order(comparison, left.high, right.high)
    high_closed = left.high_closed if ends > 0 else right.high_closed
    return Piece(
        left.low,
        left.low_closed or (starts_together and right.low_closed),
        left.high if ends > 0 else right.high,
        high_closed or (ends == 0 and left.high_closed),
    )


class _UnorderedError(Exception):
    """Raised when two ends of intervals have no order, as variables haven't."""


def _order(comparison: Comparison, left: Node, right: Node) -> int:
    if left == right:
        return 0
    if left == MINUS_INFINITY or right == INFINITY:
        return -1
    if left == INFINITY or right == MINUS_INFINITY:
        return 1
    order = comparison.scalars.order(left, right)
    if order is None:
        raise _UnorderedError
    return order
