"""Long documents cut into passages: whole sentences, the last of one beginning the next."""

from __future__ import annotations

from verifiers.facts.sentences import readable, sentence_spans
from verifiers.passages import Passage

PASSAGE_CHARS = (
    800  # about 180 tokens: a sentence model reads 256, and a model of inference 512 with the statement
)
OVERLAP_CHARS = 200  # what "it" in a passage's first sentence refers to often stands in the sentence before


def passage_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each passage: in order, none within another, together holding every word."""
    spans = sentence_spans(text)
    passages: list[tuple[int, int]] = []
    first = 0
    while first < len(spans):
        last = first
        while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= PASSAGE_CHARS:
            last += 1
        passages.append((spans[first][0], spans[last][1]))
        if last + 1 == len(spans):
            break
        first = _overlapping(spans, first, last)
    return passages


def _overlapping(spans: list[tuple[int, int]], first: int, last: int) -> int:
    """Return the sentence the next passage begins with: an earlier one only if the one after ``last`` fits as well."""
    following = last + 1
    for start in range(first + 1, following):
        overlap = spans[last][1] - spans[start][0]
        if overlap <= OVERLAP_CHARS and spans[following][1] - spans[start][0] <= PASSAGE_CHARS:
            return start
    return following


def passages_of(document: str, text: str, *, title: str = "", revision: int | None = None) -> list[Passage]:
    """Return the passages of one document; none when it holds nothing but space."""
    text, title = readable(text), readable(title)
    return [
        Passage(
            document=document, ordinal=i, text=text[start:end], title=title, start=start, revision=revision
        )
        for i, (start, end) in enumerate(passage_spans(text))
    ]
