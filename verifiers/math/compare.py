"""Compare two meanings, symmetrically and in three values: same, different, cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from verifiers.math.meaning import (
    INFINITY,
    MINUS_INFINITY,
    Assigned,
    Meaning,
    Piece,
    Region,
    meaning,
    region_of,
    symbols,
)
from verifiers.math.rational import NeedsAlgebraError, based_value, exact_value
from verifiers.math.tree import (
    Add,
    Based,
    Call,
    Clock,
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
    Relation,
    SetOf,
    SetOp,
    Sym,
    Text,
    Tuple,
)  # fmt: skip
from verifiers.math.units import unit_of

__all__ = ["Comparison", "Scalars"]

MAX_PAIRS = 2_500
_COORDINATES = frozenset(("x", "y", "z"))


class Scalars(Protocol):
    """Who compares single values."""

    @property
    def method(self) -> str:
        """How they are compared, for the evidence."""
        ...

    def equal(self, left: Node, right: Node) -> bool | None:
        """Tell whether two values are equal."""
        ...

    def order(self, left: Node, right: Node) -> int | None:
        """Return -1, 0 or 1, or ``None`` when the values have no order."""
        ...

    def proportional(self, left: Node, right: Node, *, positive: bool) -> bool | None:
        """Tell whether ``left`` is a constant (positive) multiple of ``right``."""
        ...


class Comparison:
    """One comparison; remembers what made it hesitate."""

    def __init__(self, scalars: Scalars) -> None:
        self._scalars = scalars
        self._pairs = 0
        self.doubts: list[str] = []

    def same(self, left: Meaning, right: Meaning) -> bool | None:
        """Tell whether two meanings are the same answer; ``None`` when it can't be told.

        Raises:
            NeedsAlgebraError: The scalars given can't decide a value that decides the comparison.
        """
        if left == right:
            return True
        self._pairs += 1
        if self._pairs > MAX_PAIRS:
            return self._doubt("there are too many items to compare")
        if _rank(left) > _rank(right):
            left, right = right, left
        rule: Callable[[Any, Any], bool | None] = _RULES[type(left)]
        return rule(self, left, right)

    def _doubt(self, why: str) -> bool | None:
        """Remember why it can't be told, and say so."""
        if why not in self.doubts:
            self.doubts.append(why)
        return None

    def _all(self, pairs: list[tuple[Meaning, Meaning]]) -> bool | None:
        verdict: bool | None = True
        for left, right in pairs:
            same = self.same(left, right)
            if same is False:
                return False
            verdict = verdict if same else None
        return verdict

    # -- relations --------------------------------------------------------------------------------------------

    def assigned(self, left: Assigned, right: Meaning) -> bool | None:
        """An assignment says its value; two of them must not name different things."""
        if not isinstance(right, Assigned):
            if isinstance(right, Relation) and right.ops == ("=",):
                return self._equations(_equation(left), right)
            if isinstance(left.value, Region) and isinstance(right, Region | Tuple):
                return self._regions(left.value, right)
            return self.same(left.value, right)
        if left.name == right.name:
            return self.same(left.value, right.value)
        if isinstance(left.value, Region) or isinstance(right.value, Region):
            return self.same(left.value, right.value)
        equations = _equation(left), _equation(right)
        if all(equations) and {*symbols(left.name), *symbols(right.name)} & _COORDINATES:
            if any(symbols(left.value)) and any(symbols(right.value)) and self._equations(*equations):
                return True
        same = self.same(left.value, _renamed(left.name, right))
        if same is False or _is_function(left.name) or _is_function(right.name):
            return same
        if isinstance(left.name, Sym) and isinstance(right.name, Sym):
            if left.name.name in _COORDINATES or right.name.name in _COORDINATES:
                return False
            return self._doubt("the values agree but their names differ")
        return same

    def _equations(self, left: Relation | None, right: Relation | None) -> bool | None:
        if left is None or right is None:
            return False
        return self._scalars.proportional(_difference(left), _difference(right), positive=False)

    def relation(self, left: Relation, right: Meaning) -> bool | None:
        """Equations are the same when they are multiples; chains when their sides are, or reversed."""
        if not isinstance(right, Relation):
            return False
        if left.ops == right.ops == ("=",):
            return self._equations(left, right)
        turned = [_reversed(right)] if set(right.ops) <= {"=", "!="} else []
        for chain in (right, *turned):
            if left.ops == chain.ops:
                same = self._all(list(zip(left.sides, chain.sides, strict=True)))
                if same:
                    return True
        if left.ops == right.ops and left.ops in (("<",), ("<=",)):
            return self._scalars.proportional(_difference(left), _difference(right), positive=True)
        return False

    # -- regions ----------------------------------------------------------------------------------------------

    def region(self, left: Region, right: Meaning) -> bool | None:
        """Regions are compared piece by piece; a pair in brackets is read as an interval."""
        if isinstance(right, Region):
            if left.variable is not None and right.variable is not None and left.variable != right.variable:
                if isinstance(left.variable, Sym) and isinstance(right.variable, Sym):
                    same = self._regions(left, right)
                    return self._doubt("the same region of different variables") if same else same
            return self._regions(left, right)
        if isinstance(right, Tuple | SetOf | SetOp):
            return self._regions(left, right)
        if isinstance(right, Listing):
            return self._doubt("a region and a list are hard to compare")
        return False

    def _regions(self, left: Region, right: Meaning) -> bool | None:
        if not isinstance(right, Region):
            other = region_of(right) if not isinstance(right, Assigned) else None
            if other is None:
                return False
            right = other
        one, two = self._tidied(left), self._tidied(right)
        if len(one) != len(two):
            return False
        return (
            self._all([pair for a, b in zip(one, two, strict=True) for pair in _ends(a, b)])
            if all(
                (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
                for a, b in zip(one, two, strict=True)
            )
            else False
        )

    def _tidied(self, region: Region) -> list[Piece]:
        """Return the pieces in order, those that touch joined; as they stand when they can't be ordered."""
        pieces: list[Piece] = []
        for piece in region.pieces:
            low = MINUS_INFINITY if piece.low == MINUS_INFINITY else piece.low
            at = 0
            while at < len(pieces):
                order = self._order(pieces[at].low, low)
                if order is None:
                    return list(region.pieces)
                if order > 0:
                    break
                at += 1
            pieces.insert(at, piece)
        joined: list[Piece] = []
        for piece in pieces:
            if joined:
                last = joined[-1]
                gap = self._order(last.high, piece.low)
                if gap is None:
                    return list(region.pieces)
                if gap > 0 or (gap == 0 and (last.high_closed or piece.low_closed)):
                    higher = self._order(last.high, piece.high)
                    low_closed = last.low_closed or (
                        piece.low_closed and self._order(last.low, piece.low) == 0
                    )
                    if higher == 0:
                        joined[-1] = Piece(
                            last.low, low_closed, last.high, last.high_closed or piece.high_closed
                        )
                    else:
                        end = piece if higher == -1 else last
                        joined[-1] = Piece(last.low, low_closed, end.high, end.high_closed)
                    continue
            joined.append(piece)
        return joined

    def _order(self, left: Node, right: Node) -> int | None:
        if left == right:
            return 0
        if left == MINUS_INFINITY or right == INFINITY:
            return -1
        if left == INFINITY or right == MINUS_INFINITY:
            return 1
        return self._scalars.order(left, right)

    # -- several items ----------------------------------------------------------------------------------------

    def point(self, left: Tuple, right: Meaning) -> bool | None:
        """Points and intervals keep their order; the brackets count when there are two items."""
        if isinstance(right, Tuple):
            if len(left.items) != len(right.items):
                return False
            brackets = {left.opening + left.closing, right.opening + right.closing}
            if len(left.items) == 2 and len(brackets) > 1:
                return False
            return self._all(list(zip(left.items, right.items, strict=True)))
        if isinstance(right, Matrix):
            if 1 not in (len(right.rows), len(right.rows[0])):
                return False
            entries = tuple(e for row in right.rows for e in row)
            return self.point(left, Tuple(left.opening, entries, left.closing))
        return False if not isinstance(right, Text) else self.text(right, left)

    def _point_against_items(self, left: Tuple, right: Listing | SetOf) -> bool | None:
        if len(left.items) != len(right.items):
            return self._unordered((left,), right.items)
        ordered = self._all(list(zip(left.items, right.items, strict=True)))
        certain = isinstance(right, Listing) and (left.opening == "(" or len(left.items) > 2)
        if ordered and certain:
            return True
        if ordered is False and self._unordered(left.items, right.items) is False:
            return False
        return self._doubt("one is in brackets, the other is a list: the items agree, their order may matter")

    def listing(self, left: Listing | SetOf, right: Meaning) -> bool | None:
        """Lists and sets are the same when every item of each has an equal in the other."""
        if not isinstance(right, Listing | SetOf):
            if isinstance(right, Tuple):
                return self._point_against_items(right, left)
            if isinstance(right, Text):
                return self._doubt("words cannot be compared with a list") if left.items else False
            return self._unordered(left.items, (right,))
        named = [all(isinstance(i, Assigned) for i in side.items) for side in (left, right)]
        if any(named) and not all(named) and len(left.items) == len(right.items):
            return self._named_against_bare(left, right)
        return self._unordered(left.items, right.items)

    def _named_against_bare(self, left: Listing | SetOf, right: Listing | SetOf) -> bool | None:
        items: list[Any] = [*left.items, *right.items]
        assigned = [i for i in items if isinstance(i, Assigned)]
        if len({i.name for i in assigned}) == 1 or len(assigned) > len(left.items):
            return self._unordered(left.items, right.items)
        ordered = self._all(list(zip(left.items, right.items, strict=True)))
        if ordered:
            return True
        if ordered is False and self._unordered(left.items, right.items) is False:
            return False
        return self._doubt("the values agree, but one side doesn't say which is which")

    def _unordered(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> bool | None:
        if not left or not right:
            return not left and not right
        verdict: bool | None = True
        for one, others in [*((i, right) for i in left), *((i, left) for i in right)]:
            found: bool | None = False
            for other in others:
                same = self.same(one, other)
                if same:
                    found = True
                    break
                found = None if same is None else found
            if found is False:
                return False
            verdict = verdict if found else None
        return verdict

    def matrix(self, left: Matrix, right: Meaning) -> bool | None:
        """Matrices are the same entry by entry."""
        if not isinstance(right, Matrix):
            return len(left.rows) == len(left.rows[0]) == 1 and self.same(left.rows[0][0], right)
        if (len(left.rows), len(left.rows[0])) != (len(right.rows), len(right.rows[0])):
            return False
        return self._all(
            [p for a, b in zip(left.rows, right.rows, strict=True) for p in zip(a, b, strict=True)]
        )

    def set_operation(self, left: SetOp, right: Meaning) -> bool | None:
        """Other set expressions are the same when their parts are."""
        if isinstance(right, SetOp) and left.op == right.op:
            if self._all(
                [(meaning(left.left), meaning(right.left)), (meaning(left.right), meaning(right.right))]
            ):
                return True
        return self._doubt("set expressions of this kind are compared by their text only")

    # -- words ------------------------------------------------------------------------------------------------

    def text(self, left: Text, right: Meaning) -> bool | None:
        """Words are the same word by word; long sentences may say the same in other words."""
        if isinstance(right, Text):
            one, two = left.words, right.words
            if one.replace(" ", "") == two.replace(" ", ""):
                return True
            if (
                max(len(one.split()), len(two.split())) > 4
                or set(one.split()) <= set(two.split())
                or set(two.split()) <= set(one.split())
            ):
                return self._doubt("different words may mean the same")
            return False
        letters = _letters(right)  # type: ignore[arg-type]
        if letters is not None and letters.lower() == left.words:
            return True
        if any(c.isdigit() for c in left.words) or len(left.words.split()) > 3:
            return self._doubt("words and a formula cannot be compared")
        return False

    def clock(self, left: Clock, right: Meaning) -> bool | None:
        """Times of day, which may also have been ratios."""
        if isinstance(right, Clock):
            if (left.half and right.half) or not (left.half or right.half):
                return _minutes(left) == _minutes(right)
            return (left.hour % 12, left.minute) == (right.hour % 12, right.minute) and (
                left.hour == right.hour or _minutes(left) == _minutes(right)
            )
        if left.half or not left.minute or isinstance(right, Text):
            return False
        return self.ratio(Ratio((Num(Fraction(left.hour)), Num(Fraction(left.minute)))), right)

    def ratio(self, left: Ratio, right: Meaning) -> bool | None:
        """Ratios are the same when all quotients are."""
        if isinstance(right, Ratio):
            if len(left.items) != len(right.items):
                return False
            first, other = left.items[0], right.items[0]
            return self._all(
                [
                    (Mul((first, b)), Mul((other, a)))
                    for a, b in zip(left.items[1:], right.items[1:], strict=True)
                ]
            )
        if len(left.items) == 2 and not isinstance(right, Listing | SetOf | Matrix | Text):
            return self.same(Div(*left.items), right)
        return False

    # -- values -----------------------------------------------------------------------------------------------

    def value(self, left: Node, right: Node) -> bool | None:
        """Single values, with whatever is attached to them."""
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Based):
                return self._based(one, other)
        if isinstance(left, Quantity) and isinstance(right, Quantity):
            return self._quantities(left, right)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Quantity):
                return self.same(one.value, other)
        for kind, scaled in ((Percent, _hundredth), (Degrees, _radians)):
            if isinstance(left, kind) and isinstance(right, kind):
                return self._equal(left.value, right.value)
            for one, other in ((left, right), (right, left)):
                if isinstance(one, kind):
                    as_written = self._equal(one.value, other)
                    return as_written or self._either(as_written, self._equal(scaled(one.value), other))
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Call) and one.name == "mod":
                return self._residue(one, other)
        return self._letters_apart(left, right) or self._equal(left, right)

    def _residue(self, left: Call, right: Node) -> bool | None:
        if not (isinstance(right, Call) and right.name == "mod"):
            return self.same(left.args[0], right)
        if not self.same(left.args[1], right.args[1]):
            return False
        quotient = exact_value(Div(Add((left.args[0], _times(right.args[0], Fraction(-1)))), left.args[1]))
        return quotient.denominator == 1

    @staticmethod
    def _either(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - three-valued "or"
        return True if one or other else None if None in (one, other) else False

    def _letters_apart(self, left: Node, right: Node) -> bool | None:
        """``f(x)`` and ``f(y)`` alone name the same function."""
        if (
            isinstance(left, Call)
            and isinstance(right, Call)
            and left.name == right.name
            and left.name.endswith("()")
        ):
            both = (*left.args, *right.args)
            if len(left.args) == len(right.args) == 1 and all(isinstance(a, Sym) for a in both):
                return True
        return None

    def _equal(self, left: Node, right: Node) -> bool | None:
        if left == right:
            return True
        one, other = _letters(left), _letters(right)
        if one and other and len(one) > 2 and one != other:
            if one.lower() == other.lower():
                return True
            return self._doubt("the same letters in another order") if sorted(one) == sorted(other) else False
        infinite = {INFINITY, MINUS_INFINITY}
        if left in infinite or right in infinite:
            return False
        same = self._scalars.equal(left, right)
        if same is None:
            self._doubt("the values agree only as far as a decimal was written out, or only in part")
        return same

    def _quantities(self, left: Quantity, right: Quantity) -> bool | None:
        if left.unit.lower() == right.unit.lower():
            return self.same(left.value, right.value)
        one, other = unit_of(left.unit), unit_of(right.unit)
        loose = [u.kind.startswith(("plain", "ordinal")) for u in (one, other)]
        if any(loose):
            return self.same(left.value, right.value)
        if one.kind == other.kind:
            return self.same(_times(left.value, one.factor), _times(right.value, other.factor))
        if one.kind.startswith("noun:") or other.kind.startswith("noun:"):
            same = self.same(left.value, right.value)
            return self._doubt("the numbers agree but the words behind them differ") if same else same
        return False

    def _based(self, left: Based, right: Node) -> bool | None:
        if isinstance(right, Based) and left.base == right.base:
            return left.digits.lower() == right.digits.lower()
        try:
            value = Num(Fraction(based_value(left.digits, left.base)))
        except NeedsAlgebraError:
            return self._doubt(f"{left.digits} is no numeral in base {left.base}")
        if self._equal(value, right):
            return True
        if isinstance(right, Num) and right.value == int(left.digits if left.digits.isdigit() else -1):
            return self._doubt("the digits agree but only one side names the base")
        return False


def _rank(value: Meaning) -> int:
    return list(_RULES).index(type(value))


def _ends(one: Piece, other: Piece) -> list[tuple[Meaning, Meaning]]:
    return [(one.low, other.low), (one.high, other.high)]


def _equation(assigned: Assigned) -> Relation | None:
    if isinstance(assigned.value, Assigned | Region | Listing | SetOf | Tuple | Matrix | Text):
        return None
    if not isinstance(assigned.name, Sym):
        return None
    return Relation(("=",), (assigned.name, assigned.value))


def _difference(equation: Relation) -> Node:
    return Add((equation.sides[0], _times(equation.sides[1], Fraction(-1))))


def _reversed(chain: Relation) -> Relation:
    return Relation(tuple(reversed(chain.ops)), tuple(reversed(chain.sides)))


def _is_function(name: Node) -> bool:
    return isinstance(name, Call) and name.name.endswith("()")


def _renamed(name: Node, other: Assigned) -> Meaning:
    """Return the value of ``other`` with its function's argument called as in ``name``: W(x) is W(n)."""
    if (
        isinstance(name, Call)
        and isinstance(other.name, Call)
        and len(name.args) == len(other.name.args) == 1
    ):
        mine, theirs = name.args[0], other.name.args[0]
        if isinstance(mine, Sym) and isinstance(theirs, Sym):
            return _substituted(other.value, theirs, mine)  # type: ignore[no-any-return]
    return other.value


def _substituted(tree: Any, old: Sym, new: Sym) -> Any:
    if tree == old:
        return new
    if isinstance(tree, tuple):
        return tuple(_substituted(item, old, new) for item in tree)
    if hasattr(tree, "__dataclass_fields__"):
        changed = [_substituted(getattr(tree, name), old, new) for name in tree.__dataclass_fields__]
        return type(tree)(*changed)
    return tree


def _letters(node: Node) -> str | None:
    """Return the letters of a product that may have been a word."""
    match node:
        case Sym(name) | Const("e" | "i" as name) if len(name) == 1:
            return name
        case Mul(factors):
            letters = [_letters(f) for f in factors if not isinstance(f, Mul)]
            return (
                "".join(c for c in letters if c)
                if None not in letters and len(letters) == len(factors)
                else None
            )
        case _:
            return None


def _minutes(clock: Clock) -> int:
    hour = clock.hour % 12 + (12 if clock.half == "pm" else 0) if clock.half else clock.hour
    return hour * 60 + clock.minute


def _times(value: Node, factor: Fraction) -> Node:
    return value if factor == 1 else Mul((Num(factor), value))


def _hundredth(value: Node) -> Node:
    return Div(value, Num(Fraction(100)))


def _radians(value: Node) -> Node:
    return Div(Mul((value, Const("pi"))), Num(Fraction(180)))


# Rank orders a pair, so that each rule sees its own kind on the left and what ranks at or below it on the right.
_RULES: dict[type, Callable[[Comparison, Any, Any], bool | None]] = {
    Assigned: Comparison.assigned,
    Relation: Comparison.relation,
    Region: Comparison.region,
    SetOp: Comparison.set_operation,
    Listing: Comparison.listing,
    SetOf: Comparison.listing,
    Tuple: Comparison.point,
    Matrix: Comparison.matrix,
    Text: Comparison.text,
    Clock: Comparison.clock,
    Ratio: Comparison.ratio,
}
for _scalar in Node.__args__:
    _RULES.setdefault(_scalar, Comparison.value)
