"""Sentences of a text, as spans: plain rules for European punctuation and lists, linear in the text's length."""

from __future__ import annotations

import re
from itertools import pairwise

MAX_SENTENCE_CHARS = 600  # a longer one is cut at a space: it is a table, a log or an attack, and no sentence

_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]]*+(?=\s)"""  # only at the start of a run, so that a million dots cost one look each
    r"""|[。！？]++["'”’）」』]*+"""
    r"""|\n\s*+(?=[-*•#]\s|\d{1,3}[.)]\s)"""  # an item of a list begins
    r"""|(?<!\n)\n[^\S\n]*+\n\s*+"""  # a blank line
)
_LAST_WORD = re.compile(r"[\w.]{1,12}\Z")
_ABBREVIATIONS = (
    "dr mr mrs ms prof st vs cf al fig figs vol approx ca inc ltd co jr sr dept est e.g i.e u.s u.k "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
_NEVER_LAST = frozenset(_ABBREVIATIONS.split())
_NUMBERED = frozenset(["no", "nos"])  # "No. 5", but "The answer is no."
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


def readable(text: str) -> str:
    """Return ``text`` with NUL and lone surrogates, which no model or database takes, replaced one by one."""
    return _UNREADABLE.sub("\ufffd", text)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence, in order, without the space around it; together they hold every word."""
    ends = [match.end() for match in _END.finditer(text) if not _goes_on(text, match)]
    spans: list[tuple[int, int]] = []
    for start, end in pairwise([0, *ends, len(text)]):
        spans += _pieces(text, start, end)
    return spans


def sentences(text: str) -> list[str]:
    """Return the sentences of ``text``."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Return whether the sentence goes on: after an abbreviation, an initial, or before a small letter."""
    if match.group() != ".":
        return False
    following = text[match.end() : match.end() + 2].strip()
    if following[:1].islower():
        return True
    before = _LAST_WORD.search(text, max(0, match.start() - 12), match.start())
    word = before.group() if before else ""
    if word.lower() in _NUMBERED:
        return following[:1].isdigit()
    return word.lower() in _NEVER_LAST or (len(word) == 1 and word.isupper())


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    while True:
        start, end = _trimmed(text, start, end)
        if start == end:
            return pieces
        if end - start <= MAX_SENTENCE_CHARS:
            return [*pieces, (start, end)]
        limit = start + MAX_SENTENCE_CHARS
        space = text.rfind(" ", start + 1, limit)
        cut = space if space > start else limit
        pieces.append((start, cut))
        start = cut


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
