r"""Find the final answer in what a model wrote.

Plain string searching over untrusted text of any size: every pattern has bounded repeats and is tried at most once
per position, so the time is linear, and only the last ``MAX_TAIL_CHARS`` are looked at, since the last answer wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from verifiers.math.vocabulary import MATH_WORDS, SHORT_WORDS

__all__ = ["MAX_ANSWER_CHARS", "bare_answer", "boxed_answer", "extract_answer", "has_cue", "last_in_text"]

MAX_TAIL_CHARS = 200_000  # a chain of 50,000 tokens; what stands before that is not its conclusion
MAX_ANSWER_CHARS = 2_000  # no answer in MATH or NuminaMath comes near
MAX_BOXES_JOINED = 32
MAX_GAP_CHARS = 80

_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_BARE_BOX = re.compile(
    r"\\boxed\s{0,3}((?<=\s)[^\s{}$\\]{1,40}|\\[dt]?frac\s?(?:\{[^{}]{1,80}\}\s?\{[^{}]{1,80}\}|\d\s?\d)|\\sqrt\s?\{[^{}]{1,80}\})"
)
# What may stand between two boxes that are one answer: "\boxed{1} and \boxed{2}".
_GAP = re.compile(
    r"(?:\s|\$|\\[()\[\]]|[,;:&.]|\\[,;:! ]|\\q?quad|\\(?:text|mbox|textrm)\{[^{}]{0,40}\}|and|or"
    r"|for part \(?\w\)?|[A-Za-z](?:_\{?\w{1,3}\}?)?\s{0,3}=)*"
)
_PERCENT_AFTER_BOX = re.compile(r"\s{0,2}\$?\s{0,2}(\\?%|percent\b|per cent\b|pct\b)")
_CUE = re.compile(
    r"(?:(?:final|correct|right)\s{1,3})?(?:answer|option|choice)[*_]{0,3}\s{0,3}"
    r"(?::|=|\bis\b|\bare\b|\bwas\b|\bshould be\b|\bwould be\b)"
    r"[\s:*_]{0,6}|####[ \t]{0,3}|(?m:^)[ \t]{0,3}A:[ \t]{0,3}|(?:final answer|answer)[*_]{0,3}[ \t]{0,3}\n\s{0,4}",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_NUMBER_TEXT = (
    r"(?:[$€£¥]\s?)?[-−–]?(?:[$€£¥]\s?)?(?:\d[\d,]{0,400}(?:\.\d{1,400})?|\.\d{1,400})(?:/\d{1,40})?"
    r"(?:\s(?:hundred|thousand|million|billion|trillion)\b)?(?:\s?(?:\\?%|percent\b|€|£|¥|\$|°|(?:mm|cm|km|m|ft|in)(?:\^?[23]|[²³])|(?:cm|mm|km|kg)\b))?"
)
_NUMBER = re.compile(rf"(?<![\w.,^/]){_NUMBER_TEXT}(?: or {_NUMBER_TEXT}){{0,3}}(?![\w]|[.,]\w)")
# A dollar sign before a digit opens a formula but closes none: "$2 each, so she makes $18".
_MATH = re.compile(
    r"\$\$(.{1,2000}?)\$\$|\\\[(.{1,2000}?)\\\]|\$([^$\n]{1,1000})\$(?!\d)|\\\(([^\n]{1,1000}?)\\\)",
    re.DOTALL,
)
_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{2,}")
_COMMAND_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname)\s{0,2}\{[^{}]{0,200}\}")
_DATE = re.compile(
    r"[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?(?:, \d{4})?|\d{1,2}(?:st|nd|rd|th)? [A-Z][a-z]{2,8}(?:,? \d{4})?"
)
_TRASH = " \t\r\n\"'`*_:;,“”"


def extract_answer(text: str) -> str | None:
    r"""Return the final answer of a chain, or ``None`` when none is found.

    The last of these wins: ``\boxed{...}`` (boxes joined by "and" or a comma are one answer), "the answer is ...",
    ``#### 42`` and ``A: 42``; without any, the text itself if it is a bare answer, then the last short bold span with
    a number, then the last formula or number.

    Args:
        text: Any text, of any length; hostile.

    Returns:
        The answer as it was written, without its mathematics delimiters, at most ``MAX_ANSWER_CHARS`` long.
    """
    tail = _repaired(text[-MAX_TAIL_CHARS:])
    box = _last_box(tail)
    for cue in _cues_backwards(tail):
        if box is not None and box[0] >= cue.start():
            break
        found = _after_cue(tail[cue.end() : cue.end() + MAX_ANSWER_CHARS], strict=box is not None)
        if found is not None:
            return found
    if box is not None:
        return box[1]
    return bare_answer(tail) or last_in_text(tail)


def _repaired(text: str) -> str:
    """Undo what JSON makes of an unescaped backslash: a backspace and "oxed"."""
    return text.replace("\x08oxed", "\\boxed")


def has_cue(text: str) -> bool:
    """Tell whether ``text`` says where its answer stands (a box, "the answer is", "####")."""
    tail = _repaired(text[-MAX_TAIL_CHARS:])
    return _last_box(tail) is not None or _CUE.search(tail) is not None


def boxed_answer(text: str) -> str | None:
    r"""Return what the last ``\boxed`` holds, joined with its neighbours, or ``None``."""
    box = _last_box(text[-MAX_TAIL_CHARS:])
    return None if box is None else box[1]


def bare_answer(text: str) -> str | None:
    """Return ``text`` without its delimiters when it is nothing but an answer, else ``None``."""
    stripped = _strip(text)
    if not stripped or len(stripped) > MAX_ANSWER_CHARS or "\n" in stripped:
        return None
    wordy = re.sub(r"(?<=[\d)\]}])(or|and)(?=[A-Z\d(\\])", " ", _COMMAND_TEXT.sub(" ", _mathless(stripped)))
    words = [w for w in _WORD.findall(wordy) if _is_prose(w.lower())]
    if not words:
        return stripped if re.search(r"\w", stripped) else None
    if _DATE.fullmatch(stripped):
        return stripped
    if len(stripped.split()) <= 2 and re.fullmatch(r"[A-Za-z][A-Za-z' -]*\.?", stripped):
        return stripped.rstrip(".")
    return None


def _is_prose(word: str) -> bool:
    """Tell a word from letters that are multiplied: ``ab`` and ``xyz`` are no words, ``is`` and ``the`` are."""
    return word in SHORT_WORDS if len(word) <= 3 else word not in MATH_WORDS


def last_in_text(text: str) -> str | None:
    """Return the last short bold span with a number, else the last formula or number, else ``None``."""
    for bold in reversed(list(_BOLD.finditer(text[-20_000:]))):
        if any(c.isdigit() for c in bold[1]):
            inner = _strip(bold[1])
            found = bare_answer(inner) or _last_formula_or_number(inner)
            if found is not None:
                return found
    return _last_formula_or_number(text[-20_000:])


def _last_formula_or_number(text: str) -> str | None:
    last: tuple[int, str] | None = None
    covered = 0
    for math in _MATH.finditer(text):
        number = _last_match(_NUMBER, text, covered, math.start())
        if number is not None:
            last = number
        covered = math.end()
        inner = next(g for g in math.groups() if g is not None).strip()
        if inner and not re.fullmatch(
            r"\\?[A-Za-z]", inner
        ):  # "the centre $O$" names something, it answers nothing
            last = (math.start(), inner + (_percent_after(text, math.end()) or ""))
    number = _last_match(_NUMBER, text, covered, len(text))
    if number is not None:
        last = number
    return None if last is None else _strip(last[1])[:MAX_ANSWER_CHARS] or None


def _last_match(pattern: re.Pattern[str], text: str, start: int, end: int) -> tuple[int, str] | None:
    last = None
    for match in pattern.finditer(text, start, end):
        last = (match.start(), match[0].rstrip(","))
    return last


def _percent_after(text: str, position: int) -> str | None:
    after = _PERCENT_AFTER_BOX.match(text, position)
    return None if after is None else r"\%"


def _last_box(text: str) -> tuple[int, str] | None:
    """Return where the last group of boxes starts and what it holds."""
    starts = [(m.start(), m.end()) for m in _BOX.finditer(text)]
    bare = None
    for match in _BARE_BOX.finditer(text):
        bare = match if match[1].strip(".,;") else bare
    if bare is not None and (not starts or bare.start() > starts[-1][0]):
        return bare.start(), bare[1].rstrip(".,;")
    if not starts:
        return None
    begin, inside = starts.pop()
    end = _closing_brace(text, inside)
    parts = [text[inside:end]]
    percent = _percent_after(text, end + 1)
    while starts and len(parts) < MAX_BOXES_JOINED:
        before, before_inside = starts.pop()
        if begin - before > MAX_ANSWER_CHARS:
            break
        before_end = _closing_brace(text, before_inside)
        gap = text[before_end + 1 : begin]
        if before_end >= begin or len(gap) > MAX_GAP_CHARS or not _GAP.fullmatch(gap):
            break
        parts.append(text[before_inside:before_end])
        begin = before
    answer = ", ".join(_strip_delimiters(p.strip()) for p in reversed(parts))
    if percent is not None and not answer.rstrip().endswith(("%", "percent")):
        answer += percent
    return begin, answer[:MAX_ANSWER_CHARS]


def _closing_brace(text: str, position: int) -> int:
    """Return where the group opened just before ``position`` closes; the end of its line if it never does."""
    depth = 1
    limit = min(len(text), position + MAX_ANSWER_CHARS)
    for i in range(position, limit):
        if text[i] in "{}" and text[i - 1] != "\\":
            depth += 1 if text[i] == "{" else -1
            if depth == 0:
                return i
    unclosed = re.compile(r"\n|\$|\\\]|\\\)").search(text, position, limit)
    return limit if unclosed is None else unclosed.start()


def _cues_backwards(text: str) -> Iterator[re.Match[str]]:
    """Yield at most the last 20 cues, last first."""
    yield from list(_CUE.finditer(text))[:-21:-1]


def _after_cue(text: str, *, strict: bool) -> str | None:
    """Return the answer that the sentence after a cue gives.

    Args:
        text: What follows the cue.
        strict: A box stands earlier, so mere words don't count ("... so the answer is correct").
    """
    sentence = _sentence(text)
    stripped = _strip(sentence.lstrip("} "))
    if not stripped or stripped.startswith(("\\boxed", "\\fbox")):
        return None
    bare = bare_answer(stripped)
    has_digit_or_math = any(c.isdigit() for c in stripped) or "$" in sentence or "\\" in sentence
    if bare is not None and (not strict or has_digit_or_math or len(bare) == 1):
        return bare
    found = _last_formula_or_number(sentence)
    if found is not None:
        return found
    if strict or len(stripped.split()) > 8:
        return None
    return stripped.rstrip(".")


def _sentence(text: str) -> str:
    """Return ``text`` up to the end of its first sentence; full stops inside formulas and numbers don't end it."""
    text = text.lstrip()
    position = 0
    for end in re.finditer(r"\n|[.!?](?=[\s\"'*)$]|$)|<\||\bI hope\b", text):
        inside = False
        for math in _MATH.finditer(text, position):
            if math.start() >= end.start():
                break
            position = math.end()
            inside = math.end() > end.start()
        if not inside:
            return text[: end.start()]
    return text


def _mathless(text: str) -> str:
    return text.replace("$", " ").replace("\\(", " ").replace("\\)", " ")


def _strip(text: str) -> str:
    """Return ``text`` without surrounding quotes, emphasis, delimiters and its final full stop."""
    before = None
    while before != text:
        before = text
        text = text.strip(_TRASH)
        text = text.removeprefix('\\"')
        text = text.removesuffix('\\"')
        if text.endswith((".", "!", "?")) and not re.search(r"\d!+$|[A-Za-z)\]}]!$|\\!$|\.\.$", text):
            text = text[:-1]
        text = _strip_delimiters(text)
    return text


def _strip_delimiters(text: str) -> str:
    for left, right in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        inside = text[len(left) : -len(right)]
        enclosed = len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right)
        if enclosed and left not in inside and not inside.endswith("\\"):
            return inside.strip()
    return text
