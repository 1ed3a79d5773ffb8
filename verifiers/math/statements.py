"""Find every equality that a chain of thought states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from verifiers.math.lexemes import Lexeme, lexemes, plain_text
from verifiers.math.sides import Side, after, before
from verifiers.math.signs import resolved

__all__ = ["Statement", "statements"]

MAX_LINE_LEXEMES = 3_000
_ANNOTATION = re.compile(r"<<([^<>=\n]{1,200})=([^<>=\n]{1,80})>>")
# In such a sentence a false equality may be meant to be false.
_HEDGE = re.compile(
    r"\?|\b(?:wrong|incorrect\w*|mistak\w*|(?:is|are|does|do|was) not|not (?:true|equal|right|correct)|isn't|doesn't"
    r"|false|contradict\w*|impossible|cannot|can't|errors?|typo|unless|neither|suppose|supposing|assum\w+)\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(r"\b(?:if|whether|that|when)\s+(?:\w+\s+)?[$\\({\s]*$", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"[\s.,;!:()*]*(?:wait|no\b|nope|actually|oops|hmm|sorry|that(?:'s| is) (?:not|wrong)|but that)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """``left = right``, as a chain states it."""

    left: Side | None
    """``None`` when no expression stands there."""

    right: Side | None
    about: bool
    """Stated as about equal (``≈``)."""

    hedged: bool
    """In a question or a supposition, or taken back at once."""

    then: str = ""
    """The start of the side that a run-on chain goes on with: the ``* 2`` of ``3 + 4 = 7 * 2 = 14``."""


def statements(text: str) -> Iterator[Statement]:
    """Yield the equalities that ``text`` states, in their order.

    Positions refer to ``text``. A calculator's annotation (``<<48/2=24>>``) is a statement of its own.
    """
    plain = plain_text(text)
    for match in _ANNOTATION.finditer(plain):
        yield _annotation(plain, match)
    plain = _ANNOTATION.sub(lambda m: " " * len(m[0]), plain)
    for line in _lines(lexemes(plain)):
        yield from _of_line(plain, line)


def _annotation(text: str, match: re.Match[str]) -> Statement:
    sides = [_whole(text, *match.span(n)) for n in (1, 2)]
    return Statement(sides[0], sides[1], about=False, hedged=False)


def _whole(text: str, start: int, end: int) -> Side | None:
    items = resolved(list(lexemes(text[start:end])))
    side = after(items, 0)
    if side is None or side.end != len(text[start:end].rstrip()):
        return None
    return replace(side, start=start, end=end, sure=True, beside="brk")


def _lines(found: Iterator[Lexeme]) -> Iterator[list[Lexeme]]:
    """Yield the lexemes of each line; one that begins with a relation sign goes on with the line before."""
    line: list[Lexeme] = []
    waiting: list[Lexeme] = []
    for one in found:
        if one.kind == "line":
            waiting = [one]
            continue
        if waiting and one.kind == "cur":
            waiting.append(one)
            continue
        if waiting and (one.kind != "rel" or not line):
            if line:
                yield line
            line = waiting[:1] if waiting[0].kind == "line" else []
            line += waiting[1:]
        waiting = []
        line.append(one)
        if len(line) > MAX_LINE_LEXEMES:
            yield line
            line = []
    if line:
        yield line


def _of_line(text: str, line: list[Lexeme]) -> Iterator[Statement]:
    if not any(one.kind == "rel" or one.text in ("is", "equals") for one in line):
        return
    items = resolved(line)
    is_modular = any(one.kind == "mod" or one.text in ("mod", "modulo") for one in items)
    for i, one in enumerate(items):
        worded = one.kind == "word" and one.text in ("is", "equals")
        if one.kind != "rel" and not worded:
            continue
        left, right = before(items, i), after(items, i + 1)
        if worded and (left is None or right is None or left.bare or not right.bare):
            continue
        if one.text == "is" and not _ends_plainly(items, right):
            continue
        if is_modular:
            left, right = _unsure(left), _unsure(right)
        start = one.start if left is None else left.start
        hedged = _is_hedged(text, start, one.start)
        yield Statement(left, right, about=one.text == "~", hedged=hedged, then=_run_on(right))


def _ends_plainly(items: Sequence[Lexeme], right: Side | None) -> bool:
    """Tell whether the sentence, or its clause, ends behind a number, perhaps with one word more."""
    if right is None or not right.sure:
        return False
    rest = [one for one in items if one.start >= right.end][:2]
    if rest and rest[0].kind in ("word", "unit"):
        rest = rest[1:]
    return not rest or rest[0].kind in ("punct", "line", "brk", "rel", "close")


def _unsure(side: Side | None) -> Side | None:
    return None if side is None else replace(side, sure=False)


def _run_on(right: Side | None) -> str:
    """Return the first number of the right side if the chain goes on behind it with another relation."""
    if right is None or right.bare or right.beside != "rel":
        return ""
    numbers = [one for one in right.lexemes if one.kind != "open"]
    return numbers[0].text if numbers and numbers[0].kind == "num" else ""


def _is_hedged(text: str, start: int, sign: int) -> bool:
    """Tell whether the statement from ``start`` with its sign at ``sign`` is perhaps not asserted where it stands."""
    begin, end = max(0, start - 300), min(len(text), sign + 300)
    starts = [m.end() for m in re.finditer(r"\n|[.!?;](?=\s)", text[begin:start])]
    first = begin + (starts[-1] if starts else 0)
    stop = re.search(r"\n|[.!;](?=\s)|\?", text[sign:end])
    last = end if stop is None else sign + stop.end()
    if _SUPPOSED.search(text, first, start) or _HEDGE.search(text, first, last):
        return True
    return _TAKEN_BACK.match(text, last) is not None
