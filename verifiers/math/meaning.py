"""What a parsed answer asserts: a value, an assignment, an equation, a region of numbers, several answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

from verifiers.math.tree import (
    Add,
    Call,
    Const,
    Div,
    Listing,
    Matrix,
    Mul,
    Node,
    Num,
    PlusMinus,
    Pow,
    Quantity,
    Relation,
    SetOf,
    SetOp,
    Sym,
    Text,
    Tuple,
    walk,
)  # fmt: skip

__all__ = ["Assigned", "Meaning", "Piece", "Region", "meaning", "region_of", "symbols"]

_UNKNOWNS = (Sym("x"), Sym("y"), Sym("t"), Sym("n"))  # |x| = 3 asks for x, |AB| = 3 and |z| = 3 tell a length
_NUMBER_SETS = frozenset(("integers", "naturals", "rationals", "complexes"))
INFINITY = Const("inf")
MINUS_INFINITY = Mul((Num(Fraction(-1)), INFINITY))


@dataclass(frozen=True, slots=True)
class Assigned:
    """``name = value``, where the name only names it."""

    name: Node
    value: Meaning


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval of real numbers."""

    low: Node
    low_closed: bool
    high: Node
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals, or with ``meet`` the intersection of two regions, minus some points."""

    pieces: tuple[Piece, ...]
    variable: Node | None = None


Meaning = Node | Assigned | Region


def _open(low: Node, high: Node, *, low_closed: bool = False, high_closed: bool = False) -> Piece:
    """An interval, open where it isn't said to be closed."""
    return Piece(low, low_closed, high, high_closed)


_REALS = Region((_open(MINUS_INFINITY, INFINITY),))


def meaning(tree: Node) -> Meaning:  # noqa: C901, PLR0911, PLR0912 - one line per kind of node
    """Return what ``tree`` asserts."""
    match tree:
        case Relation():
            return _related(tree)
        case Listing(items, joiner):
            return _listed(items, joiner)
        case Tuple("", items, _):
            return _listed(items, ",")
        case Quantity(Tuple() | SetOf() | SetOp() | Matrix() | Text() as several, _):
            return meaning(several)
        case SetOf(items):
            return SetOf(tuple(_values(items)))
        case SetOp():
            return region_of(tree) or tree
        case Const("reals"):
            return _REALS
        case Const("empty"):
            return SetOf(())
        case Tuple(opening, items, closing):
            if _has_plus_minus(tree):
                return _listed((tree,), "or")
            if len(items) == 2 and opening + closing not in ("()", "[]"):
                return region_of(tree) or tree
            return tree
        case _:
            if _has_plus_minus(tree):
                return _listed((tree,), "or")
            return _as_matrix(tree) or tree


def region_of(tree: Node) -> Region | None:
    """Return ``tree`` as a region of real numbers, if it can be one."""
    match tree:
        case Tuple(opening, (low, high), closing) if opening and closing:
            return Region((Piece(low, opening == "[", high, closing == "]"),))
        case Const("reals"):
            return _REALS
        case SetOf(items):
            return Region(tuple(_open(v, v, low_closed=True, high_closed=True) for v in items))
        case Quantity(value, _):
            return region_of(value)
        case SetOp("cup", left, right):
            one, other = region_of(left), region_of(right)
            return Region(one.pieces + other.pieces) if one and other else None
        case SetOp("setminus", Const("reals"), SetOf(points)) if len(points) == 1:
            return _without(points[0])
        case _:
            return None


def _without(point: Node) -> Region:
    return Region((_open(MINUS_INFINITY, point), _open(point, INFINITY)))


def symbols(tree: object) -> Iterator[str]:
    """Yield the names of the variables and unknown functions in ``tree``, with repetition."""
    for part in walk(tree):
        if isinstance(part, Sym) or (isinstance(part, Call) and part.name.endswith(("()", "_"))):
            yield part.name


# -- relations --------------------------------------------------------------------------------------------------------


def _related(tree: Relation) -> Meaning:  # noqa: PLR0911 - one line per kind of relation
    ops, sides = tree.ops, tree.sides
    if "~" in ops:  # what follows "about" is a remark
        cut = ops.index("~")
        ops, sides = ops[:cut], sides[: cut + 1]
        if not ops:
            return meaning(sides[0])
        if cut == 0 and _is_name(sides[0]):
            return Assigned(sides[0], meaning(tree.sides[1]))
    if set(ops) == {"="}:
        return _equated(sides)
    if ops == ("==",) and _is_name(sides[0]):
        return Assigned(sides[0], meaning(sides[1]))
    if ops == ("in",):
        several = isinstance(sides[1], SetOf)
        value: Meaning = (None if several else region_of(sides[1])) or meaning(sides[1])
        return Assigned(sides[0], value)
    if set(ops) <= {"<", "<="}:
        return _between(ops, sides)
    if set(ops) <= {">", ">="}:
        turned = tuple(op.replace(">", "<") for op in reversed(ops))
        return _between(turned, tuple(reversed(sides)))
    if ops == ("!=",) and _is_variable(sides[0]) and not any(symbols(sides[1])):
        return replace(_without(sides[1]), variable=sides[0])
    return Relation(ops, sides)


def _equated(sides: tuple[Node, ...]) -> Meaning:
    first, last = sides[0], sides[-1]
    if _is_name(first):
        return Assigned(first, meaning(last))
    if len(sides) == 2 and _is_name(last) and not _is_name(first):
        return Assigned(last, meaning(first))
    if not any(symbols(first)) and not isinstance(first, Text):
        return meaning(last)
    if _has_plus_minus(first) or _has_plus_minus(last):
        return Listing(tuple(_signs(Relation(("=",), (first, last)))), "or")
    return Relation(("=",), (first, last))


def _between(ops: tuple[str, ...], sides: tuple[Node, ...]) -> Meaning:
    """``low < x <= high`` and its one-sided forms, as a region; other chains as they are."""
    if len(sides) == 3 and _is_variable(sides[1]):
        return Region((Piece(sides[0], ops[0] == "<=", sides[2], ops[1] == "<="),), sides[1])
    if len(sides) == 2 and _is_variable(sides[0]) and not any(symbols(sides[1])):
        return Region((_open(MINUS_INFINITY, sides[1], high_closed=ops[0] == "<="),), sides[0])
    if len(sides) == 2 and _is_variable(sides[1]) and not any(symbols(sides[0])):
        return Region((_open(sides[0], INFINITY, low_closed=ops[0] == "<="),), sides[1])
    return Relation(ops, sides)


def _is_variable(node: Node) -> bool:
    return isinstance(node, Sym) or (isinstance(node, Call) and node.name.endswith(("()", "_")))


def _is_name(node: Node) -> bool:  # noqa: PLR0911 - one line per kind of node
    """Tell whether ``node`` only names something: x, f(x), |AB|, NO/BO, (p, q, r), Area."""
    match node:
        case Sym() | Text():
            return True
        case Const("e" | "i"):
            return False
        case Call(name, args):
            if name.endswith(("()", "_", " of")):
                return True
            return name in ("abs", "det") and all(_is_name(a) and a not in _UNKNOWNS for a in args)
        case Tuple(_, items, _):
            return all(isinstance(i, Sym) for i in items)
        case Mul(factors):
            return all(isinstance(f, Sym) and f.name[0].isupper() for f in factors)
        case Div(above, below):
            return all(isinstance(n, Sym | Mul) and _is_capital(n) for n in (above, below))
        case Quantity(value, _):
            return _is_name(value)
        case _:
            return False


def _is_capital(node: Node) -> bool:
    return _is_name(node) and all(name[0].isupper() for name in symbols(node))


# -- several answers --------------------------------------------------------------------------------------------------


def _listed(items: tuple[Node, ...], joiner: str) -> Meaning:
    meanings = [meaning(i) for i in _values(items)]
    meanings = [m for m in meanings if not _is_declaration(m)] or meanings
    if meanings and isinstance(meanings[0], Assigned) and len(meanings) > 1:
        rest = meanings[1:]
        if not any(isinstance(m, Assigned | Region | Relation) for m in rest):  # n = 2, 3, 4
            first = meanings[0]
            return Assigned(first.name, Listing((first.value, *rest), joiner))  # type: ignore[arg-type]
    regions = [m for m in meanings if isinstance(m, Region)]
    if len(regions) == len(meanings) and len(regions) > 1 and joiner == "or":
        return Region(tuple(p for r in regions for p in r.pieces), regions[0].variable)
    if len(regions) == len(meanings) == 2 and joiner == "and":
        joined = _overlap(*regions)
        if joined is not None:
            return joined
    if len(meanings) == 1:
        return meanings[0]
    return Listing(tuple(meanings), joiner)  # type: ignore[arg-type]


def _is_declaration(item: Meaning) -> bool:
    """Tell whether an item only says where a letter lives: ``k in Z``."""
    return isinstance(item, Assigned) and isinstance(item.value, Const) and item.value.name in _NUMBER_SETS


def _overlap(left: Region, right: Region) -> Region | None:
    """``x > 1 and x < 3``: one bound from each."""
    if len(left.pieces) != 1 or len(right.pieces) != 1:
        return None
    one, other = left.pieces[0], right.pieces[0]
    if one.low == MINUS_INFINITY and other.high == INFINITY:
        one, other = other, one
    if one.high == INFINITY and other.low == MINUS_INFINITY:
        return Region((Piece(one.low, one.low_closed, other.high, other.high_closed),), left.variable)
    return None


def _values(items: tuple[Node, ...]) -> list[Node]:
    """Return the items with plus-minus written out."""
    out: list[Node] = []
    for item in items:
        if isinstance(item, Relation) and _has_plus_minus(item):
            out.append(item)
        else:
            out.extend(_signs(item))
    return out


def _has_plus_minus(tree: Node) -> bool:
    return any(isinstance(part, PlusMinus) for part in walk(tree))


def _signs(tree: Node) -> list[Node]:
    if not _has_plus_minus(tree):
        return [tree]
    return [_signed(tree, upper=True), _signed(tree, upper=False)]


def _signed(tree: Any, *, upper: bool) -> Any:  # noqa: ANN401 - it rebuilds whatever it is given
    if isinstance(tree, PlusMinus):
        right = _signed(tree.right, upper=upper)
        if upper is not tree.upper:
            right = Mul((Num(Fraction(-1)), right))
        return right if tree.left is None else Add((_signed(tree.left, upper=upper), right))
    if isinstance(tree, tuple):
        return tuple(_signed(item, upper=upper) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        changed: dict[str, Any] = {f.name: _signed(getattr(tree, f.name), upper=upper) for f in fields(tree)}
        return replace(tree, **changed)
    return tree


# -- matrices ---------------------------------------------------------------------------------------------------------


def _as_matrix(tree: Node) -> Matrix | None:
    """Carry out products, sums and multiples of matrices, entry by entry."""
    match tree:
        case Matrix():
            return tree
        case Mul(factors):
            return _multiplied(factors)
        case Div(above, below):
            inner = _as_matrix(above)
            return inner and Matrix(tuple(tuple(Div(e, below) for e in row) for row in inner.rows))
        case Add(terms):
            matrices = [_as_matrix(t) for t in terms]
            return _added([m for m in matrices if m is not None]) if all(matrices) else None
        case Pow(base, Num(value, None)) if value in (2, 3):
            inner = _as_matrix(base)
            return inner and _multiplied((inner,) * int(value))
        case _:
            return None


def _multiplied(factors: tuple[Node, ...]) -> Matrix | None:
    product: Matrix | None = None
    scale: list[Node] = []
    for factor in factors:
        inner = _as_matrix(factor)
        if inner is None:
            scale.append(factor)
        elif product is None:
            product = inner
        else:
            if len(product.rows[0]) != len(inner.rows) or len(product.rows) * len(inner.rows) > 36:
                return None
            product = Matrix(
                tuple(
                    tuple(
                        Add(tuple(Mul((a, b)) for a, b in zip(row, column, strict=True)))
                        for column in zip(*inner.rows, strict=True)
                    )
                    for row in product.rows
                )
            )
    if product is None or not scale:
        return product
    return Matrix(tuple(tuple(Mul((*scale, e)) for e in row) for row in product.rows))


def _added(matrices: list[Matrix]) -> Matrix | None:
    shapes = {(len(m.rows), len(m.rows[0])) for m in matrices}
    if len(shapes) != 1:
        return None
    return Matrix(
        tuple(
            tuple(Add(entries) for entries in zip(*rows, strict=True))
            for rows in zip(*(m.rows for m in matrices), strict=True)
        )
    )
