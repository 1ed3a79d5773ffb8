"""Read what a sentence says of its subject: "a positive integer divisible by 7 but not by 4"."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations

from verifiers.math.clauses import has_relation
from verifiers.math.conditions import (
    Between,
    Condition,
    Congruent,
    Divides,
    Every,
    Has,
    Opposite,
    Some,
    Within,
)
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Call, Node, Num, Relation
from verifiers.math.vocabulary import NUMBER_WORDS

__all__ = ["ReadValue", "predicate"]

ReadValue = Callable[[str], Node]
_Meant = Callable[[Node], Condition]

_SKIPPED = re.compile(
    r"(?:an?|the|both|all|each|either|numbers?|values?|which|that|is|are|also|strictly)\b\s*", re.IGNORECASE
)
_JOIN = re.compile(r"(?:,|;|and\b|but\b)\s*")
_NOT = re.compile(r"not\b\s*(?:(?:an?|the)\s+)?", re.IGNORECASE)
_CONTINUES = re.compile(
    r"(?:not |is |are |an? |the )*(?:by|in|divisible|multiples?|divisors?|factors?)\b|(?:is|are)\b"
)
_KINDS = [
    (re.compile(rf"(?:{words})\b", re.IGNORECASE), kind)
    for words, kind in [
        ("non-?negative", "nonnegative"), ("non-?positive", "nonpositive"), ("positive", "positive"),
        ("negative", "negative"), ("non-?zero", "nonzero"), ("integers?|integral|whole numbers?|whole", "integer"),
        ("natural", "natural"), ("(?:perfect )?squares?", "square"), ("(?:perfect )?cubes?", "cube"),
        ("primes?", "prime"), ("composite", "composite"), ("even", "even"), ("odd", "odd"),
        ("irrational", "irrational"), ("rational", "rational"), ("real", "real"),
    ]
]  # fmt: skip
_DIGITS = re.compile(r"(\d{1,2}|[a-z]{3,5})[- ]digit\b", re.IGNORECASE)
_DISTINCT = re.compile(r"(?:pairwise )?(?:distinct|different|unequal)\b", re.IGNORECASE)
_COPRIME = re.compile(r"(?:relatively prime|mutually prime|co-?prime)\b", re.IGNORECASE)
# A term goes on until a word that can't be part of it.
_TERM = r"(.+?)(?=\s*(?:[,;]|\b(?:and|but|that|which|is|are|divisible)\b|$))"
_BETWEEN = re.compile(rf"between (.+?) and {_TERM}", re.IGNORECASE)
_HOW = re.compile(r"\s*,?\s*\(?(inclusive|exclusive)(?:ly)?\b\)?", re.IGNORECASE)
_COMPARED = [
    (re.compile(rf"(?:{words})\s+{_TERM}", re.IGNORECASE), op)
    for words, op in [
        ("less than or equal to", "<="), ("(?:greater|more) than or equal to", ">="), ("at most|no more than", "<="),
        ("at least|no less than", ">="), ("(?:less|smaller|fewer) than|below|under", "<"),
        ("(?:greater|more|larger|bigger) than|above|over", ">"), ("equal to", "="),
    ]
]  # fmt: skip
_MULTIPLE = re.compile(rf"(?:(?:evenly |exactly )?divisible by|multiples? of|by)\s+{_TERM}", re.IGNORECASE)
_DIVISOR = re.compile(rf"(?:divisors?|factors?) of\s+{_TERM}", re.IGNORECASE)
_CONGRUENT = re.compile(
    rf"congruent to\s+(.+?)\s*\(?\s*(?:\\?pmod|\\?bmod|mod(?:ulo)?)\s*\)?\s*{_TERM}", re.IGNORECASE
)
_IN = re.compile(rf"(?:in|\\in)\s+{_TERM}", re.IGNORECASE)


def predicate(subjects: list[Node], text: str, read_value: ReadValue) -> tuple[list[Condition], str]:
    """Return what ``text`` says of the subjects, and the clause behind it that has a subject of its own.

    Args:
        subjects: What the sentence is about.
        text: What follows its "is" or "are".
        read_value: Reads one term.

    Raises:
        CannotReadError: It says something that isn't known.
    """
    found: list[Condition] = []
    while text := text.strip(" ."):
        join = _JOIN.match(text)
        if join is not None:
            text = text[join.end() :]
            if has_relation(text) and not _CONTINUES.match(text):
                return found, text
            continue
        skipped = _SKIPPED.match(text)
        if skipped is not None:
            text = text[skipped.end() :]
            continue
        negated = _NOT.match(text)
        text = text[negated.end() :] if negated else text
        said, end = _said(subjects, text, read_value)
        found += [Opposite(one) for one in said] if negated else said
        text = text[end:]
    if not found:
        raise CannotReadError("it says nothing that is understood of its subject")
    return found, ""


def _said(subjects: list[Node], text: str, read_value: ReadValue) -> tuple[list[Condition], int]:
    """Return what the first words of ``text`` say of each subject, and where they end."""
    for of_all, together in ((_DISTINCT, _all_distinct), (_COPRIME, _coprime)):
        match = of_all.match(text)
        if match is not None:
            return together(subjects), match.end()
    for reader in (_kind, _digits, _compared, _between, _divisibility, _congruent, _within):
        understood = reader(text, read_value)
        if understood is not None:
            meant, end = understood
            return [meant(subject) for subject in subjects], end
    values = [read_value(piece) for piece in re.split(r"\bor\b", text)]  # "n is 5", "n is 3 or 5"
    return [Some(tuple(Relation(("=",), (s, v)) for v in values)) for s in subjects], len(text)


def _kind(text: str, _read_value: ReadValue) -> tuple[_Meant, int] | None:
    match, kind = next(((m, kind) for pattern, kind in _KINDS if (m := pattern.match(text))), (None, ""))
    return None if match is None else (lambda subject: Has(subject, kind), match.end())


def _digits(text: str, _read_value: ReadValue) -> tuple[_Meant, int] | None:
    match = _DIGITS.match(text)
    n_digits = 0
    if match is not None:
        n_digits = int(match[1]) if match[1].isdigit() else NUMBER_WORDS.get(match[1].lower(), 0)
    if match is None or not n_digits:
        return None
    low, high = Num(Fraction(10 ** (n_digits - 1))), Num(Fraction(10**n_digits))

    def meant(subject: Node) -> Condition:
        size = Call("abs", (subject,))
        return Every((Has(subject, "integer"), Relation(("<=", "<"), (low, size, high))))

    return meant, match.end()


def _compared(text: str, read_value: ReadValue) -> tuple[_Meant, int] | None:
    match, op = next(((m, op) for pattern, op in _COMPARED if (m := pattern.match(text))), (None, ""))
    if match is None:
        return None
    bound = read_value(match[1])
    return lambda subject: Relation((op,), (subject, bound)), match.end()


def _between(text: str, read_value: ReadValue) -> tuple[_Meant, int] | None:
    match = _BETWEEN.match(text)
    if match is None:
        return None
    low, high = read_value(match[1]), read_value(re.sub(r"\s*\(?(?:in|ex)clusive.*", "", match[2]))
    how = _HOW.search(text[match.start(2) :])
    if how is None:
        return lambda subject: Between(subject, low, high), match.end()
    ops = ("<=", "<=") if how[1].lower() == "inclusive" else ("<", "<")
    return lambda subject: Relation(ops, (low, subject, high)), match.start(2) + how.end()


def _divisibility(text: str, read_value: ReadValue) -> tuple[_Meant, int] | None:
    match = _MULTIPLE.match(text)
    if match is not None:
        divisor = read_value(match[1])
        return lambda subject: Divides(divisor, subject), match.end()
    match = _DIVISOR.match(text)
    if match is not None:
        number = read_value(match[1])
        return lambda subject: Divides(subject, number), match.end()
    return None


def _congruent(text: str, read_value: ReadValue) -> tuple[_Meant, int] | None:
    match = _CONGRUENT.match(text)
    if match is None:
        return None
    remainder, modulus = read_value(match[1]), read_value(match[2].strip(" ()"))
    return lambda subject: Congruent(subject, remainder, modulus), match.end()


def _within(text: str, read_value: ReadValue) -> tuple[_Meant, int] | None:
    match = _IN.match(text)
    if match is None:
        return None
    where = read_value(match[1])
    return lambda subject: Within(subject, where), match.end()


def _all_distinct(subjects: list[Node]) -> list[Condition]:
    return [Relation(("!=",), pair) for pair in combinations(subjects, 2)]


def _coprime(subjects: list[Node]) -> list[Condition]:
    return [Relation(("=",), (Call("gcd", tuple(subjects)), Num(Fraction(1))))]
