"""Write a parsed answer as text, for a person who audits what was compared."""

from __future__ import annotations

from verifiers.math.meaning import Assigned, Meaning, Piece, Region
from verifiers.math.tree import (
    Add,
    Based,
    Big,
    Call,
    Choice,
    Clock,
    Const,
    Degrees,
    Div,
    Listing,
    Matrix,
    Mul,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Quantity,
    Ratio,
    Relation,
    SetOf,
    SetOp,
    Sym,
    Text,
    Tuple,
)  # fmt: skip

__all__ = ["rendered"]

_SET_SIGNS = {"cup": "∪", "cap": "∩", "setminus": "∖"}


def rendered(meaning: Meaning) -> str:
    """Return ``meaning`` in plain notation, fully bracketed."""
    match meaning:
        case Assigned(name, value):
            return f"{rendered(name)} = {rendered(value)}"
        case Region(pieces, variable):
            union = " ∪ ".join(_interval(p) for p in pieces)
            return union if variable is None else f"{rendered(variable)} ∈ {union}"
        case Listing() | SetOf() | Tuple() | Matrix() | Relation() | SetOp() | Ratio() | Choice():
            return _several(meaning)
        case Quantity() | Percent() | Degrees() | Based() | Clock() | Text():
            return _annotated(meaning)
        case _:
            return _expression(meaning)


def _interval(piece: Piece) -> str:
    left, right = "[" if piece.low_closed else "(", "]" if piece.high_closed else ")"
    return f"{left}{rendered(piece.low)}, {rendered(piece.high)}{right}"


def _several(meaning: Meaning) -> str:  # noqa: PLR0911 - one line per kind of node
    match meaning:
        case Listing(items, joiner):
            return f"{', ' if joiner == ',' else f' {joiner} '}".join(map(rendered, items))
        case SetOf(items):
            return "{" + ", ".join(map(rendered, items)) + "}"
        case Tuple(opening, items, closing):
            return opening + ", ".join(map(rendered, items)) + closing
        case Matrix(rows):
            return "[" + "; ".join(", ".join(map(rendered, row)) for row in rows) + "]"
        case Relation(ops, sides):
            return rendered(sides[0]) + "".join(
                f" {op} {rendered(side)}" for op, side in zip(ops, sides[1:], strict=True)
            )
        case SetOp(op, left, right):
            return f"({rendered(left)} {_SET_SIGNS[op]} {rendered(right)})"
        case Ratio(items):
            return " : ".join(map(rendered, items))
        case Choice(letter, content):
            return f"({letter}) {rendered(content)}"
        case _:
            return str(meaning)


def _annotated(meaning: Meaning) -> str:
    match meaning:
        case Quantity(value, unit):
            return f"{rendered(value)} {unit.strip()}"
        case Percent(value):
            return f"{rendered(value)}%"
        case Degrees(value):
            return f"{rendered(value)}°"
        case Based(digits, base):
            return f"{digits}_{base}"
        case Clock(hour, minute, half):
            return f"{hour}:{minute:02}" + (f" {half}" if half else "")
        case Text(words):
            return f"“{words}”"
        case _:
            return str(meaning)


def _expression(meaning: Meaning) -> str:  # noqa: PLR0911 - one line per kind of node
    match meaning:
        case Num(value):
            return (
                str(value)
                if max(value.numerator.bit_length(), value.denominator.bit_length()) < 700
                else "a long number"
            )
        case Sym(name) | Const(name):
            return name
        case Add(terms):
            return "(" + " + ".join(map(rendered, terms)) + ")"
        case Mul(factors):
            return "·".join(map(rendered, factors))
        case Div(above, below):
            return f"({rendered(above)})/({rendered(below)})"
        case Pow(base, exponent):
            return f"({rendered(base)})^({rendered(exponent)})"
        case PlusMinus(left, right, upper):
            return f"{'' if left is None else rendered(left)} {'±' if upper else '∓'} {rendered(right)}"
        case Call(name, args):
            return f"{name.removesuffix('()')}({', '.join(map(rendered, args))})"
        case Big(kind, variable, low, high, body):
            bounds = ", ".join(rendered(end) for end in (low, high) if end is not None)
            return f"{kind}[{variable}: {bounds}]({rendered(body)})"
        case _:
            return str(meaning)
