"""Operators that a text writes in words, and units in the midst of its expressions."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.math.lexemes import ENDS, STARTS, Lexeme
from verifiers.math.vocabulary import names

__all__ = ["MAX_UNIT_WORDS", "resolved"]

MAX_UNIT_WORDS = 4
_PARTS = ("num", "/", "num")
_CONNECTORS = names(
    "and so then which is are was were he she it they we you i that this there for because since if but or as at when "
    "while thus hence therefore gives get gets let means leaving plus minus times has have had with a an the to"
)
_WORD_OPERATORS = {"times": "*", "plus": "+", "minus": "-"}


def resolved(line: Sequence[Lexeme]) -> list[Lexeme]:
    """Return a line's lexemes with operators in words as signs, and without units in the midst of an expression."""
    out: list[Lexeme] = []
    i = 0
    while i < len(line):
        one = line[i]
        following = line[i + 1] if i + 1 < len(line) else None
        sign = _sign(one, out, following)
        if sign is not None:
            n_taken, text = sign
            out.append(Lexeme("op", text, one.start, line[i + n_taken - 1].end, spaced=True))
            i += n_taken
            continue
        if one.text in ("a", "A", "I") and one.spaced and following is not None and following.spaced:
            one = Lexeme("word", one.text, one.start, one.end, spaced=True)
        if one.kind == "word" and not one.spaced and len(one.text) > 3 and out and out[-1].kind == "num":
            one = Lexeme("clash", one.text, one.start, one.end)  # "4Papillon" is an unknown
        if one.kind in ("word", "op") and out and out[-1].kind in ENDS:
            n_units = _n_unit_lexemes(line, i)
            if n_units:
                unit = " ".join(u.text for u in line[i : i + n_units])
                out.append(Lexeme("unit", unit, one.start, line[i + n_units - 1].end, spaced=True))
                i += n_units
                continue
        out.append(one)
        i += 1
    return out


def _sign(one: Lexeme, out: list[Lexeme], following: Lexeme | None) -> tuple[int, str] | None:
    """Return how many lexemes make up an operator that is written in words, and its sign."""
    if not out or out[-1].kind not in ENDS | {"unit"} or following is None:
        return None
    word = one.text.lower()
    starts = following.kind in STARTS
    if word == "x":
        return (1, "*") if _is_times(one, out[-1], following) else None
    if one.kind != "word":
        return None
    if word in ("multiplied", "divided") and following.text == "by":
        return 2, "*" if word == "multiplied" else "/"
    if word == "of" and starts and (out[-1].kind in ("pct", "term") or _is_fraction(out)):
        return 1, "*"
    sign = {"percent": "%"}.get(word) or (_WORD_OPERATORS.get(word) if starts else None)
    return None if sign is None else (1, sign)


def _is_times(one: Lexeme, previous: Lexeme, following: Lexeme) -> bool:
    """Tell ``5 x 3`` and ``5x3`` from an unknown called x."""
    if following.kind == "open":
        return one.spaced and following.spaced
    if following.kind not in STARTS:
        return False
    return previous.kind == "unit" or (previous.kind != "sym" and one.spaced == following.spaced)


def _is_fraction(out: list[Lexeme]) -> bool:
    return tuple(one.text if one.kind == "op" else one.kind for one in out[-3:]) == _PARTS


def _n_unit_lexemes(line: Sequence[Lexeme], start: int) -> int:
    """Return how many lexemes from ``start`` are a unit within an expression: "miles per hour", "/hour"; or 0."""
    end = start
    while end < len(line) and end - start <= MAX_UNIT_WORDS:
        n_taken = _n_unit_part(line, end, is_first=end == start)
        if not n_taken:
            break
        end += n_taken
    if end == start or end - start > MAX_UNIT_WORDS:
        return 0
    if end >= len(line) or line[end].kind in ("close", "rel"):
        return end - start
    one, following = line[end], line[end + 1] if end + 1 < len(line) else None
    is_sign = one.kind == "op" or (one.text in ("x", "X") and one.spaced)
    if is_sign and following is not None and (following.kind in STARTS or following.text in "+-"):
        return end - start
    return 0


def _n_unit_part(line: Sequence[Lexeme], i: int, *, is_first: bool) -> int:
    """Return how many lexemes from ``i`` are a word of a unit, its exponent, or ``/`` and a word."""
    one, following = line[i], line[i + 1].kind if i + 1 < len(line) else ""
    if one.kind == "word":
        return int(one.text.lower() not in _CONNECTORS)
    if one.kind == "op" and one.text == "/":
        return 2 if following == "word" else 0
    if one.kind == "op" and one.text == "^":
        return 2 if following in ("num", "term") and not is_first else 0
    return int(one.kind == "power" and not is_first)
