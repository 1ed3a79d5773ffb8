"""Read a text as an answer, in every meaning it may have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from verifiers.math.grammar import AnswerParser
from verifiers.math.sayings import clock_time, date, known_words, worded
from verifiers.math.tokens import CannotReadError, Commas, prepared, tokenize
from verifiers.math.tree import Choice, Listing, Mul, Node, Num, Quantity, SetOf, Text, Tuple, depth, walk
from verifiers.math.words import classified, is_prose, plain_words

__all__ = ["MAX_READ_CHARS", "Reading", "readings", "trees"]

MAX_READ_CHARS = 4_000
MAX_ITEMS = 100  # of a list, a set or a point; more are refused, never cut off
MAX_WORDS = 40  # of an answer in words
MAX_TREE_DEPTH = 60  # of nodes; comparing and converting recurse a few frames for each

_CHOICE = re.compile(
    r"(?:\\text(?:bf|rm)?\s?\{\s?\(?([A-F])\)[.:]?\s?\}|\(?([A-F])\)[.:]?)(?:\s|\\[ ,;:]|\\q?quad|~)+([^\s=<>+*/^].*)"
)
_WRITTEN = re.compile(r"\\(?:text|textbf|textrm|mbox|mathrm)\s?\{\s?([^{}]*\d[^{}]*)\}")  # "\text{12 inches}"
_LETTER_UNIT = re.compile(r"^[-+]?[\d.,]+\s?[a-zA-Z](?:\^\{?[23]\}?)?$")


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning a text may have."""

    tree: Node
    sure: bool = True
    """False when agreement in this meaning alone shows nothing (``5m`` as five metres)."""


def readings(text: str) -> list[Reading]:
    """Return what ``text`` may mean, likeliest first; never empty.

    Raises:
        CannotReadError: It can't be understood; the message says why.
    """
    if len(text) > MAX_READ_CHARS:
        raise CannotReadError(f"an answer of more than {MAX_READ_CHARS} characters is too large")
    plain = prepared(text)
    if not plain:
        raise CannotReadError("it is empty")
    written = _WRITTEN.fullmatch(plain)
    plain = plain if written is None else written[1]
    choice = _CHOICE.fullmatch(plain)
    if choice is not None:
        return [
            Reading(Choice(choice[1] or choice[2], r.tree), sure=r.sure) for r in _plain_readings(choice[3])
        ]
    return _plain_readings(plain)


def _plain_readings(text: str) -> list[Reading]:
    words = plain_words(text)
    special = clock_time(text) or date(text) or (None if words is None else _only_words(words))
    if special is not None:
        return [Reading(special)]
    try:
        found = trees(text)
    except CannotReadError:
        if words is not None and _is_sentence(words):
            return [Reading(worded(words))]
        raise
    return [Reading(tree) for tree in found] + _letter_units(text, found[0])


def trees(text: str) -> list[Node]:
    """Return what a prepared text may be as a formula, likeliest first; never empty.

    Raises:
        CannotReadError: It is no formula; the message says why.
    """
    found: list[Node] = []
    failure = CannotReadError("it is empty")
    for commas in _comma_styles(text):
        try:
            tree = _parsed(text, commas)
        except CannotReadError as error:
            failure = error
        else:
            found += [] if tree in found else [tree]
    if not found:
        raise failure
    return found


def _parsed(text: str, commas: Commas) -> Node:
    try:
        tree = AnswerParser(classified(tokenize(text, commas))).answer()
    except RecursionError as error:
        raise CannotReadError("it is nested too deeply") from error
    if any(len(part.items) > MAX_ITEMS for part in walk(tree) if isinstance(part, Listing | SetOf | Tuple)):
        raise CannotReadError(f"it lists more than {MAX_ITEMS} items")
    if depth(tree) > MAX_TREE_DEPTH:
        raise CannotReadError(f"it is nested deeper than {MAX_TREE_DEPTH} levels")
    return tree


def _only_words(words: str) -> Node | None:
    if any(c.isdigit() for c in words):
        return None
    return known_words(words) or (Text(words) if is_prose(words) else None)


def _is_sentence(words: str) -> bool:
    every = words.split()
    return len(every) <= MAX_WORDS and any(w.isalpha() and len(w) > 1 for w in every)


def _comma_styles(text: str) -> list[Commas]:
    if not re.search(r"\d[,. ]\d", text):
        return [Commas.SEPARATE]
    if re.fullmatch(r"[-+¤€£]*\s?\d+,\d+\D*", text) and not re.fullmatch(
        r"[-+¤€£]*\s?\d{1,3},\d{3}\D*", text
    ):
        return [Commas.DECIMAL, Commas.SEPARATE]
    styles = [Commas.GROUP]
    if re.search(r"\d,\d", text):
        styles.append(Commas.SEPARATE)
    return styles


def _letter_units(text: str, tree: Node) -> list[Reading]:
    """Five times m may be five metres; only a squared or cubed letter behind a number surely is a unit."""
    if not _LETTER_UNIT.fullmatch(text) or not isinstance(tree, Mul) or not isinstance(tree.factors[0], Num):
        return []
    unit = re.sub(r"[{}]", "", text.lstrip("+-0123456789., "))
    return [Reading(Quantity(tree.factors[0], unit), sure="^" in unit or tree.factors[0].places is not None)]
