"""The parsed form of an answer: small frozen values, bounded in size and depth by the grammar that builds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "Add", "Based", "Big", "Call", "Choice", "Clock", "Const", "Degrees", "Div", "Listing", "Matrix", "Mul", "Node",
    "Num", "Percent", "PlusMinus", "Pow", "Quantity", "Ratio", "Relation", "SetOf", "SetOp", "Sym", "Text", "Tuple",
    "depth", "parts", "walk",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Num:
    """A number as written."""

    value: Fraction
    places: int | None = None
    """Digits after the decimal point as written; ``None`` for an integer or a repeating decimal."""


@dataclass(frozen=True, slots=True)
class Sym:
    """A variable, with its subscript: ``x``, ``x_{1}``, ``alpha``."""

    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """One of ``pi``, ``e``, ``i``, ``inf``; and ``reals``, ``integers``, ... for sets with a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Add:
    """A sum."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """A product."""

    factors: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Div:
    """A quotient."""

    above: Node
    below: Node


@dataclass(frozen=True, slots=True)
class Pow:
    """A power."""

    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class PlusMinus:
    """``left ± right``; all signs of one answer are chosen together, ``∓`` being the other one."""

    left: Node | None
    right: Node
    upper: bool
    """Whether the sign is plus-minus; false for minus-plus."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function applied; names that are not ours (``f``) stay unknown functions."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Big:
    """A sum, product or integral over a bound variable."""

    kind: str
    variable: str
    low: Node | None
    high: Node | None
    body: Node


@dataclass(frozen=True, slots=True)
class Tuple:
    """Two or more items in brackets: a point, a vector or an interval."""

    opening: str
    items: tuple[Node, ...]
    closing: str


@dataclass(frozen=True, slots=True)
class SetOf:
    """A finite set."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Items without brackets: ``3, 5, 7``, ``x = 1 or x = 2``."""

    items: tuple[Node, ...]
    joiner: str
    """``,``, ``and`` or ``or``; ``or`` wins when they are mixed."""


@dataclass(frozen=True, slots=True)
class SetOp:
    r"""``left ∪ right`` and the like; ``op`` is ``cup``, ``cap`` or ``setminus``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain ``a op b op c``; one more side than operators."""

    ops: tuple[str, ...]
    sides: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of equal length."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with a unit or the noun it counts."""

    value: Node
    unit: str


@dataclass(frozen=True, slots=True)
class Percent:
    """A percentage; ``value`` is what stands before the sign."""

    value: Node


@dataclass(frozen=True, slots=True)
class Degrees:
    """An angle in degrees."""

    value: Node


@dataclass(frozen=True, slots=True)
class Based:
    """A numeral in a base: ``52_8``."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """``a : b : c``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day, or a ratio of the same looks when ``half`` is ``None`` and it could be one."""

    hour: int
    minute: int
    half: str | None
    """``am``, ``pm`` or ``None`` when it isn't said."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words, in lower case, without articles and punctuation."""

    words: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice with what it says: ``(C) 12``."""

    letter: str
    content: Node


Node = (
    Num | Sym | Const | Add | Mul | Div | Pow | PlusMinus | Call | Big | Tuple | SetOf | Listing | SetOp | Relation
    | Choice | Matrix | Quantity | Percent | Degrees | Based | Ratio | Clock | Text
)  # fmt: skip


def parts(tree: object) -> Iterator[object]:
    """Yield what ``tree`` is directly made of: fields, and the items of tuples."""
    if isinstance(tree, tuple):
        yield from tree
    elif hasattr(tree, "__dataclass_fields__"):
        for name in tree.__dataclass_fields__:
            yield getattr(tree, name)


def walk(tree: object) -> Iterator[object]:
    """Yield ``tree`` and everything in it; without recursion, for any depth."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(parts(part))


def depth(tree: object) -> int:
    """Return how many levels of nodes ``tree`` has; without recursion."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        part, level = waiting.pop()
        deepest = max(deepest, level)
        below = level if isinstance(part, tuple) else level + 1
        waiting.extend((p, below) for p in parts(part))
    return deepest
