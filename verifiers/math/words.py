"""Tell letters, function names, units and prose apart: what the words of an answer are."""

from __future__ import annotations

import re

from verifiers.math.tokens import Token
from verifiers.math.units import UNITS
from verifiers.math.vocabulary import COMMANDS, PLAIN_FUNCTIONS, PLAIN_GREEK

__all__ = ["classified", "is_prose", "plain_words"]

_SYNONYMS = {
    "infinity": "infty", "inf": "infty", "oo": "infty", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "union": "cup", "cup": "cup", "pi": "pi", "in": "in", "mod": "mod", "choose": "choose",
}  # fmt: skip
_JOINERS = frozenset(("and", "or"))
_ENDS_A_VALUE = frozenset((")", "]", "}", "%", "!", "|", "'", "¤"))
_ARTICLES = re.compile(r"^(?:the|a|an)\s+")


def classified(tokens: list[Token]) -> list[Token]:
    """Return ``tokens`` with every ``word`` and ``text`` resolved.

    The new kinds are ``letter`` (a variable), ``join`` ("and", "or"), ``unit`` (words after a value), ``prose``
    (words that mean nothing in a formula) and ``begin``/``close`` for environments; names of functions become ``cmd``.
    """
    out: list[Token] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if token.kind == "cmd" and token.text in ("begin", "end") and i + 3 < len(tokens):
            name, i = _environment(tokens, i + 1)
            out.append(Token("begin" if token.text == "begin" else "close", name, token.spaced))
            continue
        if token.kind == "word":
            out.extend(_word(token, out, tokens[i + 1]))
        elif token.kind == "text":
            out.extend(_text(token, out))
        else:
            out.append(token)
        i += 1
    return out


def _environment(tokens: list[Token], i: int) -> tuple[str, int]:
    name = ""
    while i < len(tokens) and tokens[i].kind != "end":
        name += tokens[i].text
        i += 1
        if name.endswith("}"):
            break
    return name.strip("{}*"), i


def _after_value(out: list[Token]) -> bool:
    if not out:
        return False
    last = out[-1]
    if last.kind == "op":
        return last.text in _ENDS_A_VALUE
    return last.kind in ("num", "letter", "unit") or last.text in ("circ", "pi", "rbrace", "infty")


def _word(token: Token, out: list[Token], following: Token) -> list[Token]:
    word, lower = token.text, token.text.lower()
    if lower in _JOINERS:
        return [Token("join", lower, token.spaced)]
    if word == "U" and out and out[-1].text in (")", "]") and following.text in ("(", "["):
        return [Token("cmd", "cup", token.spaced)]
    after_number = _after_value(out) and out[-1].kind in ("num", "unit", "op", "cmd")
    if after_number and _is_unit(lower, spaced=token.spaced) and following.text != "(":
        return [Token("unit", word, token.spaced)]
    if lower in _SYNONYMS and (lower != "in" or _after_value(out)):
        return [Token("cmd", _SYNONYMS[lower], token.spaced)]
    if word in PLAIN_FUNCTIONS or word in PLAIN_GREEK:
        return [Token("cmd", word, token.spaced)]
    return _name(token, out)


def _is_unit(lower: str, *, spaced: bool) -> bool:
    if lower in ("in", "pi", "inf", "oo"):
        return False
    return (len(lower) > 1 and lower in UNITS) or (
        spaced and len(lower) > 2 and lower not in _SYNONYMS | dict.fromkeys((*PLAIN_FUNCTIONS, *PLAIN_GREEK))
    )


def _name(token: Token, out: list[Token]) -> list[Token]:
    word = token.text
    for function in PLAIN_FUNCTIONS:
        if word.startswith(function) and len(word) - len(function) <= 2:
            rest = [Token("letter", c) for c in word[len(function) :]]
            return [Token("cmd", function, token.spaced), *rest]
    if word.endswith("pi") and len(word) <= 4:
        return [
            *_letters(word[:-2], token.spaced),
            Token("cmd", "pi", spaced=len(word) == 2 and token.spaced),
        ]
    if len(word) <= 3 or (word.isupper() and len(word) <= 5):
        return _letters(word, token.spaced)
    return [Token("unit" if _after_value(out) and token.spaced else "prose", word, token.spaced)]


def _letters(word: str, spaced: bool) -> list[Token]:  # noqa: FBT001 - the token's own field, passed on
    return [Token("letter", c, spaced and n == 0) for n, c in enumerate(word)]


def _text(token: Token, out: list[Token]) -> list[Token]:  # noqa: PLR0911 - one line per kind of text
    inner = token.text.strip().strip("~").strip()
    lower = re.sub(r"\s+", " ", inner.lower())
    spaced = token.spaced or token.text[:1].isspace()
    if not inner:
        return []
    if lower.strip(", ") in _JOINERS:
        return [Token("join", lower.strip(", "), spaced)]
    if inner in (",", ";", ":", "=", "-", "+"):
        return [Token("op", inner, spaced)]
    choice = re.fullmatch(r"\(?([A-Za-z])\)?\.?", inner)
    if choice is not None and not (_after_value(out) and lower in UNITS):
        return [Token("letter", choice[1], spaced)]
    if re.fullmatch(r"-?\d{1,40}(?:\.\d{1,40})?", inner):
        sign = [Token("op", "-", spaced)] if inner.startswith("-") else []
        return [*sign, Token("num", inner.lstrip("-"), spaced)]
    if inner in COMMANDS and inner not in ("in", "min", "sec", "deg"):
        return [Token("cmd", inner, spaced)]
    part = re.fullmatch(r"(?:for )?part \(?\w\)?,?( and)?", lower)
    if part is not None:
        return [Token("join", "and", spaced)]
    if lower in ("in", "min", "sec") and not _after_value(out):
        return [Token("cmd", lower, spaced)]
    return [Token("unit" if _after_value(out) else "prose", inner, spaced)]


def plain_words(text: str) -> str | None:
    """Return ``text`` as lower-case words, or ``None`` when it is more or other than words."""
    text = re.sub(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname|mathbf)\s?(?=\{)", " ", text)
    text = re.sub(r"\\[,;:! ]|\\q?quad|[{}~\"“”]", " ", text)
    text = re.sub(r"[-–]", " ", text)
    words = " ".join(text.strip(" .!?").split()).lower()
    if not re.fullmatch(r"[^\W_][\w .,'()&/:;-]*", words) or len(words) > 300:
        return None
    return _ARTICLES.sub("", words)


def is_prose(words: str) -> bool:
    """Tell whether plain words hold one of four letters or more that means nothing in a formula."""
    known = {*PLAIN_FUNCTIONS, *PLAIN_GREEK, *_SYNONYMS}
    every = words.split()
    return any(len(w) > 3 and w.isalpha() and w not in known for w in every) and not _JOINERS.intersection(
        every
    )
