"""Find the expressions that stand directly before and behind a relation sign in running text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from verifiers.math.boundaries import is_clear_before, is_clear_behind
from verifiers.math.lexemes import ENDS, STARTS, Lexeme

__all__ = ["Side", "after", "before"]

MAX_SIDE_LEXEMES = 120


_CLOSE_FRACTION = re.compile(r"(?:(?<![\d./])(\d{1,40}) )?(?<![\d./])(\d{1,40}/\d{1,40})(?![\d./])")
_POSTFIX = frozenset(("pct", "bang", "deg", "power"))
_UNIT_LETTERS = frozenset("mghslLkKM")


@dataclass(frozen=True, slots=True)
class Side:
    """An expression beside a relation sign."""

    text: str
    """For the grammar of answers, without units and currency signs."""

    grouped: str
    """The same, where fractions written closely bind first: ``1/2 / 1/4`` is ``(1/2) / (1/4)``."""

    start: int
    end: int
    sure: bool
    """Whether it surely is all of what the text relates; else it can show that an equality holds, but not refute it."""

    bare: bool
    """A single number, with nothing to compute."""

    beside: str
    """What kind of lexeme stands at its far end."""

    dash: bool = False
    """A dash stands before it that may be a list's or a sign."""

    units: tuple[str, ...] = ()
    """Words and currency signs that were passed over."""

    lexemes: tuple[Lexeme, ...] = field(default=(), repr=False)


def before(items: Sequence[Lexeme], end: int) -> Side | None:
    """Return the expression that ends just before ``items[end]``, or ``None``."""
    i, stop = end - 1, max(-1, end - MAX_SIDE_LEXEMES)
    needs_operand = True
    first = end
    while i > stop:
        one = items[i]
        if one.kind == "unit" or (needs_operand and one.kind in _POSTFIX):
            i -= 1
        elif needs_operand:
            start = _operand_start(items, i, stop)
            if start is None:
                return None
            first, i, needs_operand = start, start - 1, False
        elif one.kind == "cur":
            first, i = i, i - 1
        elif one.kind == "op" and _follows_operand(items, i, stop):
            i, needs_operand = i - 1, True
        elif _is_sign(one) and i - 1 > stop and items[i - 1].kind == "op":  # 3 * -2
            first, i, needs_operand = i, i - 2, True
        elif _is_product(items, i, first):
            needs_operand = True
        else:
            break
    return None if needs_operand or i <= stop != -1 else _signed(items, first, end, i)


def _signed(items: Sequence[Lexeme], first: int, end: int, i: int) -> Side:
    """Return the expression from ``first`` to ``end``, with the sign that may stand before it, at ``i``."""
    if i < 0 or not _is_sign(items[i]):
        return _side(items, first, end, sure=is_clear_before(items, i), edge=items[i] if i >= 0 else None)
    edge = items[i - 1] if i > 0 else None
    begins = edge is None or edge.kind == "line"
    if begins and items[i + 1].spaced:
        return replace(_side(items, first, end, sure=True, edge=edge), dash=items[i].text == "-")
    # A sign behind words goes on with what they are about: "250 books in all - 135 sold".
    sure = is_clear_before(items, i - 1) and (edge is None or edge.kind != "word")
    return _side(items, i, end, sure=sure, edge=edge)


def after(items: Sequence[Lexeme], start: int) -> Side | None:
    """Return the expression that begins at ``items[start]``, or ``None``."""
    i, stop = start, min(len(items), start + MAX_SIDE_LEXEMES)
    needs_operand = True
    last = start
    while i < stop:
        one = items[i]
        if one.kind in ("cur", "unit") or (needs_operand and _is_sign(one)):
            i += 1
        elif needs_operand:
            end = _operand_end(items, i, stop)
            if end is None:
                return None
            last, i, needs_operand = end, end, False
        elif one.kind in ("pct", "deg", "power") or (one.kind == "bang" and _is_factorial(items, i)):
            last = i = i + 1
        elif one.kind == "op" and _operand_follows(items, i + 1, stop):
            i, needs_operand = i + 1, True
        elif _multiplies(items, i, stop):
            needs_operand = True
        else:
            break
    if needs_operand or i >= start + MAX_SIDE_LEXEMES:
        return None
    edge = items[i] if i < len(items) else None
    # "= 12 (as above)" ends before the bracket; "= 12 (3 + 4)" may be a product.
    may_go_on = edge is not None and edge.kind == "open" and _operand_end(items, i, stop) is not None
    return _side(items, start, last, sure=not may_go_on and is_clear_behind(items, i), edge=edge)


def _side(items: Sequence[Lexeme], first: int, end: int, *, sure: bool, edge: Lexeme | None) -> Side:
    inside = items[first:end]
    taken = tuple(one for one in inside if one.kind not in ("unit", "cur", "deg"))
    passed = [one.text for one in inside if one.kind in ("unit", "cur")]
    if edge is not None and edge.kind == "word":
        passed.append(edge.text)
    operators = [one for n, one in enumerate(taken) if n and one.kind in ("op", "open", "bang", "power")]
    return Side(
        text=" ".join(one.text for one in taken),
        grouped=_grouped(taken),
        start=items[first].start,
        end=items[end - 1].end,
        sure=sure,
        bare=not operators and not any(one.kind == "term" and not one.text.startswith("{") for one in taken),
        beside="" if edge is None else edge.kind,
        units=tuple(passed),
        lexemes=taken,
    )


def _grouped(taken: Sequence[Lexeme]) -> str:
    return _CLOSE_FRACTION.sub(
        _bracketed, "".join(f" {one.text}" if one.spaced else one.text for one in taken)
    )


def _bracketed(match: re.Match[str]) -> str:
    whole = f"{match[1]} + " if match[1] else ""
    return f"({whole}{match[2]})"


def _operand_start(items: Sequence[Lexeme], i: int, stop: int) -> int | None:
    """Return where the operand that ends at ``i`` begins."""
    if items[i].kind in ("num", "term", "sym"):
        return i
    if items[i].kind != "close":
        return None
    depth = 0
    for j in range(i, stop, -1):
        kind = items[j].kind
        if kind in ("word", "line", "rel", "brk", "punct", "clash", "mod", "ell"):
            return None
        depth += (kind == "close") - (kind == "open")
        if depth == 0:
            if j - 1 > stop and not items[j].spaced and items[j - 1].kind in ("sym", "word", "clash"):
                return j - 1 if items[j - 1].kind == "sym" else None
            return j
    return None


def _operand_end(items: Sequence[Lexeme], i: int, stop: int) -> int | None:
    if items[i].kind in ("num", "term", "sym"):
        return i + 1
    if items[i].kind != "open":
        return None
    depth = 0
    for j in range(i, stop):
        kind = items[j].kind
        if kind in ("word", "line", "rel", "brk", "punct", "clash", "mod", "ell"):
            return None
        depth += (kind == "open") - (kind == "close")
        if depth == 0:
            return j + 1
    return None


def _is_sign(one: Lexeme) -> bool:
    return one.kind == "op" and one.text in "+-"


def _follows_operand(items: Sequence[Lexeme], i: int, stop: int) -> bool:
    return i - 1 > stop and items[i - 1].kind in ENDS | {"unit"}


def _operand_follows(items: Sequence[Lexeme], i: int, stop: int) -> bool:
    while i < stop and (items[i].kind == "cur" or (items[i].kind == "op" and items[i].text in "+-")):
        i += 1
    return i < stop and items[i].kind in STARTS and _operand_end(items, i, stop) is not None


def _is_product(items: Sequence[Lexeme], i: int, first: int) -> bool:
    """Tell whether what ends at ``i`` is multiplied by what begins at ``first``, without a sign: 2(3 + 4), 3 1/2."""
    if items[i].kind not in ("num", "close", "term", "sym") or first != i + 1:
        return False
    if items[first].kind == "num":
        return _is_mixed(items, first)
    return items[first].kind in ("open", "term", "sym") and not (
        items[first].kind == "open" and items[first].spaced
    )


def _multiplies(items: Sequence[Lexeme], i: int, stop: int) -> bool:
    """Tell whether what begins at ``i`` is multiplied by the operand before it, without a sign."""
    one = items[i]
    if one.kind == "sym":
        return one.text not in _UNIT_LETTERS or items[i - 1].kind != "num"
    if one.kind == "open":
        return not one.spaced and _operand_end(items, i, stop) is not None
    return one.kind == "term" or (one.kind == "num" and _is_mixed(items, i))


def _is_mixed(items: Sequence[Lexeme], i: int) -> bool:
    """Tell whether ``3 1/2`` has its fraction at ``i``."""
    shape = [one.text if one.kind == "op" else one.kind for one in items[max(0, i - 1) : i + 3]]
    return shape == ["num", "num", "/", "num"] and items[i].spaced and "." not in items[i - 1].text


def _is_factorial(items: Sequence[Lexeme], i: int) -> bool:
    """Tell a factorial from an exclamation."""
    return (
        not items[i].spaced
        and i + 1 < len(items)
        and items[i + 1].kind in ("op", "rel", "close", "open", "bang")
    )
