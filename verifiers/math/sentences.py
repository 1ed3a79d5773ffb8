"""Read sentences about terms: "n is a positive integer", "12 divides n", "n leaves remainder 2 when divided by 5"."""

from __future__ import annotations

import re
from collections.abc import Callable

from verifiers.math.clauses import ALL, has_relation, split
from verifiers.math.conditions import Condition, Congruent, Divides, Every, Opposite
from verifiers.math.predicates import ReadValue, predicate
from verifiers.math.tokens import CannotReadError

__all__ = ["sentence"]

_SENTENCE = re.compile(
    r"(.+?)\s+(?:is|are|must be|should be)\s+(.+)|(.+?)\s+((?:not )?(?:divisible by|a multiple of)\s.+)",
    re.IGNORECASE,
)
_DIVIDES = re.compile(r"(.+?)\s+(does not |doesn't |do not )?(?:evenly )?divides?\s+(.+)", re.IGNORECASE)
_REMAINDERS = [
    r"(?P<n>.+?) (?:leaves|has|gives) (?:an? )?remainder (?:of )?(?P<r>.+?) "
    r"(?:when|on|after|upon) (?:it is )?(?:divided|division) by (?P<m>.+)",
    r"(?:the )?remainder when (?P<n>.+?) is divided by (?P<m>.+?) (?:is|=|equals) (?P<r>.+)",
    r"when (?P<n>.+?) is divided by (?P<m>.+?),? the remainder is (?P<r>.+)",
]


def sentence(text: str, read_value: ReadValue, read_rest: Callable[[str], Condition]) -> Condition | None:
    """Return what a sentence asserts, or ``None`` when the text is none.

    Args:
        text: A condition, prepared, its words bare.
        read_value: Reads one term.
        read_rest: Reads the clauses before and after the sentence.

    Raises:
        CannotReadError: It is a sentence, but says something that isn't known.
    """
    for pattern in _REMAINDERS:
        remainder = re.fullmatch(pattern, text, re.IGNORECASE)
        if remainder is not None:
            return Congruent(*(read_value(remainder[name]) for name in "nrm"))
    divides = _DIVIDES.fullmatch(text)
    if divides is not None and not re.search(r"\b(?:is|are)\b", divides[1]):
        return _divides(divides, read_value, read_rest)
    match = _SENTENCE.fullmatch(text)
    if match is None:
        return None
    before, terms = _terms(match[1] or match[3])
    subjects = [read_value(term) for term in terms]
    found = [read_rest(", ".join(before))] if before else []
    said, rest = predicate(subjects, match[2] or match[4], read_value)
    found += said
    if rest:
        found.append(read_rest(rest))
    return found[0] if len(found) == 1 else Every(tuple(found))


def _terms(text: str) -> tuple[list[str], list[str]]:
    """Split ``x > 0 and a, b`` into the clauses before and the terms that the verb is about."""
    pieces = split(text, ALL)
    last_clause = max((n for n, piece in enumerate(pieces) if has_relation(piece)), default=-1)
    terms = [re.sub(r"^(?:both|each of|all of)\s+", "", piece) for piece in pieces[last_clause + 1 :]]
    if not terms:
        raise CannotReadError("it is said of nothing")
    return pieces[: last_clause + 1], terms


def _divides(match: re.Match[str], read_value: ReadValue, read_rest: Callable[[str], Condition]) -> Condition:
    before, terms = _terms(match[1])
    number, *more = split(match[3], ALL) or [""]
    dividing: list[Condition] = [Divides(read_value(term), read_value(number)) for term in terms]
    found = [read_rest(", ".join(before))] if before else []
    found += [Opposite(one) if match[2] else one for one in dividing]
    found += [read_rest(", ".join(more))] if more else []
    return found[0] if len(found) == 1 else Every(tuple(found))
