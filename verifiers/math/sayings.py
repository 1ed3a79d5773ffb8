"""What words alone say in mathematics: "no solution", "eleven", a time of day, a date."""

from __future__ import annotations

import re
from fractions import Fraction

from verifiers.math.tree import Clock, Const, Node, Num, Text
from verifiers.math.vocabulary import NUMBER_WORDS

__all__ = ["clock_time", "date", "known_words", "worded"]

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s?(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)? )?([a-z]{3,9})\.?(?: (\d{1,2})(?:st|nd|rd|th)?)?(?:,? (\d{4}))?"
)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_NOTHING = frozenset(
    ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "none")
)
_SAME_WORDS = {
    "dne": "does not exist", "undefined": "does not exist", "not defined": "does not exist",
    "true": "yes", "false": "no", "correct": "yes", "incorrect": "no",
}  # fmt: skip
_REALS = frozenset(("all real numbers", "all reals", "real numbers", "all real x", "all real values"))


def known_words(words: str) -> Node | None:
    """Return what words say in mathematics, or a text for those that are surely only words."""
    if words in _NOTHING:
        return Const("empty")
    if words in _REALS:
        return Const("reals")
    if words in NUMBER_WORDS:
        return Num(Fraction(NUMBER_WORDS[words]))
    tens, _, units = words.partition(" ")
    if NUMBER_WORDS.get(tens, 0) >= 20 and 0 < NUMBER_WORDS.get(units, 0) < 10:
        return Num(Fraction(NUMBER_WORDS[tens] + NUMBER_WORDS[units]))
    if words in _SAME_WORDS:
        return Text(_SAME_WORDS[words])
    if words in ("infinity", "positive infinity"):
        return Const("inf")
    return None


def worded(words: str) -> Node:
    """Return what words say, or the words."""
    return known_words(words) or Text(words.strip("()., "))


def clock_time(text: str) -> Clock | None:
    """Return the time of day that ``text`` is, if it is one."""
    plain = re.sub(r"\\(?:text|mbox|textrm)\s?\{([^{}]{0,20})\}", r"\1", text)
    plain = re.sub(r"\\[ ,;:!]|~", " ", plain).replace("{", "").replace("}", "")
    match = _CLOCK.fullmatch(re.sub(r"\s+", " ", plain).strip())
    if match is None or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    return Clock(int(match[1]), int(match[2]), f"{match[3].lower()}m" if match[3] else None)


def date(text: str) -> Text | None:
    """Return the date that ``text`` is, as in ISO 8601, if it is one."""
    plain = re.sub(r"\\(?:text|mbox|textrm)\s?\{([^{}]{0,40})\}", r"\1", text)
    match = _DATE.fullmatch(re.sub(r"\s+", " ", plain).strip(" .").lower())
    if match is None or not (match[1] or match[3] or match[4]):
        return None
    month = next((n for n, m in enumerate(_MONTHS, 1) if m == match[2] or m[:3] == match[2]), None)
    day = match[1] or match[3]
    if month is None or (match[1] and match[3]):
        return None
    return Text(f"{match[4] or '----'}-{month:02}-{int(day):02}" if day else f"{match[4]}-{month:02}")
