"""Tell whether an expression surely begins or ends where the words around it stand."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.math.lexemes import Lexeme
from verifiers.math.signs import MAX_UNIT_WORDS
from verifiers.math.vocabulary import names

__all__ = ["is_clear_before", "is_clear_behind"]

# Words before an expression that change what it says: what seems false may then be right. So do those behind one.
_CHANGING_BEFORE = names(
    "twice thrice double triple half third quarter fifth tenth times minus plus less than root square squared cube "
    "cubed negative average mean median mod modulo power factorial point percent over two three four five six seven "
    "eight nine ten dozen hundred thousand million billion trillion inverse reciprocal base log ln sin cos tan max min"
)
_CHANGING_BEHIND = names(
    "percent point dozen hundred thousand million billion trillion squared cubed factorial mod modulo over minus plus "
    "remainder rem r with rounded round approximately about roughly or leftover"
)
_FRACTION_WORDS = names(
    "half third quarter fourth fifth sixth eighth tenth root thirds quarters average mean"
)


def is_clear_before(items: Sequence[Lexeme], i: int) -> bool:
    """Tell whether an expression surely begins behind ``items[i]``."""
    if i < 0:
        return True
    one = items[i]
    if one.kind == "word":
        word = one.text.lower()
        if word == "of" and i > 0:
            return items[i - 1].text.lower() not in _FRACTION_WORDS
        return word not in _CHANGING_BEFORE and not _continues(items, i)
    return one.kind in ("line", "rel", "brk", "punct", "open")


def _continues(items: Sequence[Lexeme], i: int) -> bool:
    """Tell whether the words that end at ``i`` follow an operator: ``25 classmates + his 1 teacher``."""
    for one in reversed(items[max(0, i - MAX_UNIT_WORDS) : i]):
        if one.kind != "word":
            return one.kind == "op"
    return False


def is_clear_behind(items: Sequence[Lexeme], i: int) -> bool:
    """Tell whether an expression surely ends before ``items[i]``."""
    if i >= len(items):
        return True
    one = items[i]
    if one.kind == "word":
        rest = [other.text.lower() for other in items[i : i + 3]]
        return rest[0] not in _CHANGING_BEHIND and not (rest[0] == "and" and "half" in rest)
    if one.kind == "op":  # a dash before words
        return one.text == "-" and i + 1 < len(items) and items[i + 1].kind == "word"
    return one.kind in ("line", "rel", "brk", "punct", "open", "close", "bang")
