"""Compare words, multiple choices and times of day."""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.comparison import Comparison
from verifiers.math.meaning import Assigned, Meaning, Region, meaning
from verifiers.math.tree import Choice, Clock, Div, Num, Sym, Text
from verifiers.math.values import letters_of

__all__ = ["choice", "clock", "text"]


def text(comparison: Comparison, left: Text, right: Meaning) -> bool | None:
    """Compare words: the same word by word; longer texts may say the same in other words."""
    if isinstance(right, Text):
        return _two_texts(comparison, left.words, right.words)
    letters = None if isinstance(right, Assigned | Region) else letters_of(right)
    if letters is not None and letters.lower() == left.words:
        return True
    if any(c.isdigit() for c in left.words) or len(left.words.split()) > 3:
        return comparison.doubt("words and a formula cannot be compared")
    return False


def _two_texts(comparison: Comparison, left: str, right: str) -> bool | None:
    if left.replace(" ", "") == right.replace(" ", ""):
        return True
    one, two = left.split(), right.split()
    if max(len(one), len(two)) > 4 or set(one) <= set(two) or set(two) <= set(one):
        return comparison.doubt("different words may mean the same")
    return False


def choice(comparison: Comparison, left: Choice, right: Meaning) -> bool | None:
    """Compare ``(C) 12``: by its letter when the other side has one, else by what it says."""
    if isinstance(right, Choice):
        return left.letter == right.letter
    if isinstance(right, Sym) and right.name in "ABCDEF":
        return left.letter == right.name
    return comparison.same(meaning(left.content), right)


def clock(comparison: Comparison, left: Clock, right: Meaning) -> bool | None:
    """Compare a time of day, which may also have been a ratio."""
    if isinstance(right, Clock):
        if _minutes(left) == _minutes(right):
            return True
        half_day_apart = (left.hour % 12, left.minute) == (right.hour % 12, right.minute)
        return (
            half_day_apart
            and (left.half is None) != (right.half is None)
            and max(left.hour, right.hour) <= 12
        )
    if left.half or not left.minute or isinstance(right, Text):
        return False
    same = comparison.same(Div(Num(Fraction(left.hour)), Num(Fraction(left.minute))), right)
    return comparison.doubt("one side is a time of day or a ratio") if same else same


def _minutes(clock: Clock) -> int:
    """Minutes since midnight; without am or pm, as on a clock of 24 hours."""
    hour = clock.hour % 12 + (12 if clock.half == "pm" else 0) if clock.half else clock.hour
    return hour * 60 + clock.minute
