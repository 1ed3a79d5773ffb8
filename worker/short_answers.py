"""Reading a short answer, a word or a phrase, off a chain's text; every step takes time in proportion to the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARS = 100_000  # of a text's end; what stands before is no longer its answer

_OPENING = re.compile(r"<(?:final_?)?answer>", re.IGNORECASE)
_CLOSING = re.compile(r"</(?:final_?)?answer>", re.IGNORECASE)

# Possessive throughout: nothing that was read is given back, so hostile text costs no more than any other.
_LABEL = re.compile(
    r"""
    [\s*\#>_`•-]*+
    (?:(?:so|thus|hence|then|therefore|overall|finally|in\ conclusion)\b,?+\s++)?+
    (?:(?:the|my|our)\s++)?+
    (?:(?:final|correct|short|single|best|most\ likely|likely|most\ probable|probable)\s++){0,2}+
    (?:answer|diagnosis)\b[*_]*+\s*+
    (?:
        (?P<label>(?:is\s*+)?+[:=：](?:\*++|_++(?=\s))?+)   # with the end of the markup around the label
      | is\b(?!\s*+(?:not|based|unclear|uncertain|as\s++follows|below)\b)     # a sentence that says something else
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)

_MARKUP = (
    ("**", "**"), ("*", "*"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"),
    ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\boxed{", "}"), ("\\text{", "}"),
    ("__", "__"), ("_", "_"),
)  # fmt: skip
"""What may stand around an answer and is no part of it. Brackets are a part: "[1, 2]", "f(x)"."""

_MOST_LAYERS = 8
_TITLES = {"al", "co", "corp", "dr", "etc", "inc", "jr", "ltd", "mr", "mrs", "ms", "prof", "sr", "st"}
_DECORATION = " \t\r\n*_`\"'.:;!,()[]"
_BEFORE = re.compile(r"(?:[ \t\r\n*_`\"':;!,()\[\]]|\.(?![0-9]))+")  # the point of ".5" belongs to the number


def extract_short_answer(text: str, _entry_point: str | None = None) -> str | None:
    """Return what is marked or labelled as the answer, else what a sentence says it is, else the last line.

    For diagnoses and questions whose answer is a word or a short phrase: ``<answer>Paris</answer>``, ``Answer: Paris``,
    ``The answer is Paris.``. Of several of one sort the last counts, of lines only those that say anything. What is
    returned is what the chain wrote, without the markup around it.
    """
    last = labelled = said = None
    for line in _marked(text[-MAX_CHARS:]).splitlines():
        if not bare(line):
            continue
        last = shown(line)
        match = _LABEL.match(last)
        rest = last[match.end() :] if match else ""
        if not match or not bare(rest):
            continue
        if match["label"]:
            labelled = shown(rest)
        elif not rest.rstrip(" \t*_`").endswith(":"):  # which only announces it
            said = shown(rest)
    return labelled or said or last


def shown(written: str) -> str:
    """Return what the chain wrote, without markup around it and without the dot that ends its sentence."""
    text, dot = written.strip(), True
    for _ in range(_MOST_LAYERS):
        before = text
        text = _without_markup(text).strip()
        if dot and _ends_a_sentence(text):
            text, dot = text[:-1].rstrip(), False
        if text == before:
            break
    return text


def bare(text: str) -> str:
    """Return the text without any decoration around it."""
    stripped = text.rstrip(_DECORATION)
    begun = _BEFORE.match(stripped)
    return stripped[begun.end() :] if begun else stripped


def _marked(text: str) -> str:
    """Return what stands between the last pair of tags, either of which may be missing; without tags, all."""
    begin = max((match.end() for match in _OPENING.finditer(text)), default=0)
    closing = _CLOSING.search(text, begin)
    inside = text[begin : closing.start() if closing else None]
    return inside if bare(inside) else text


def _without_markup(text: str) -> str:
    for begin, end in _enclosing(text):
        inside = text[len(begin) : -len(end)]
        if bare(inside):
            return inside
    # Of a pair of which the label or the line took the other half.
    if text.count("**") == 1 and text.startswith("**"):
        return text[2:]
    if text.count("**") == 1 and text.endswith("**"):
        return text[:-2]
    return text[1:] if text.startswith("* ") else text


def _enclosing(text: str) -> Iterator[tuple[str, str]]:
    for begin, end in _MARKUP:
        if not (text.startswith(begin) and text.endswith(end) and len(text) > len(begin) + len(end)):
            continue
        inside = text[len(begin) : -len(end)]
        if begin.startswith("_") and (inside.isidentifier() and inside == inside.lower()):
            continue  # a name: __init__, _private_
        if begin.endswith("{"):
            if _closes_only_at_the_end(inside):
                yield begin, end
        elif end not in inside and begin not in inside:  # else two pieces of it, and what stands between
            yield begin, end


def _closes_only_at_the_end(inside: str) -> bool:
    depth = 0
    for character in inside:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _ends_a_sentence(text: str) -> bool:
    """Return whether the last dot is no part of an abbreviation ("U.S.", "Apple Inc.") or of an ellipsis."""
    if not text.endswith(".") or text.endswith("..") or not bare(text):
        return False
    word = re.split(r"\s", text[:-1].rstrip()[-40:])[-1].lstrip("(\"'*_`[")
    parts = word.split(".")
    is_initials = len(parts) > 1 and all(part.isalpha() and len(part) <= 2 for part in parts)
    return not is_initials and word.lower() not in _TITLES
