"""Cut a condition into clauses and terms at commas, "and" and "or" that stand outside brackets."""

from __future__ import annotations

import re

__all__ = ["ALL", "ANY", "has_relation", "split"]

# A comma between two digits belongs to a number or to a list that is read elsewhere.
ALL = re.compile(r";|(?<!\d),|,(?!\d)|\\(?:land|wedge)(?![a-zA-Z])|(?<![A-Za-z\\])(?:and|but)(?![A-Za-z])")
ANY = re.compile(r"\\(?:lor|vee)(?![a-zA-Z])|(?<![A-Za-z\\])or(?![A-Za-z])")
_RELATION = re.compile(
    r"[=<>]|\\(?:le|ge|leq|geq|leqslant|geqslant|lt|gt|ne|neq|in|notin|mid|nmid|equiv|approx)(?![a-zA-Z])|\|"
    r"|\b(?:is|are|divides?|divisible|leaves|in)\b"
)


def split(text: str, where: re.Pattern[str]) -> list[str]:
    """Return the pieces of ``text`` between separators that stand outside all brackets; empty ones are dropped."""
    pieces, depth, start, position = [], 0, 0, 0
    while position < len(text):
        depth += (text[position] in "([{") - (text[position] in ")]}")
        separator = where.match(text, position) if depth <= 0 else None
        if separator is None:
            position += 1
            continue
        pieces.append(text[start : separator.start()])
        start = position = separator.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def has_relation(text: str) -> bool:
    """Tell whether ``text`` asserts something, by a sign or a verb; a bare term doesn't."""
    return _RELATION.search(text) is not None
