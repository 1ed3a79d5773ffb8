r"""Cut an answer into tokens: LaTeX commands, numbers, words, signs and pieces of running text.

Everything is decided by one pass of bounded regular expressions; the number of tokens is limited here, before
anything is built or computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from verifiers.math.normal import plain_characters
from verifiers.math.vocabulary import COMMANDS, IGNORED, SPACING, TEXT_COMMANDS

__all__ = ["CannotReadError", "Commas", "Token", "prepared", "tokenize"]

MAX_TOKENS = 800
MAX_DIGITS = 1_000  # of one number; a longer one is no answer, and arithmetic on it costs

_UNIT_OUTSIDE = re.compile(
    r"^\$([^$]+)\$\s*([a-zA-Z]{1,3}(?:/[a-z]{1,3})?(?:\^\{?[23]\}?)?)$"
)  # "$\sqrt2$ m"
_REPEATING = r"(?:\d{0,9}\.\d{0,40})\\(?:overline|bar|dot)\s?\{\d{1,40}\}"
_DECIMAL = r"(?:\.\d+)"
_TEX_GROUPS = r"\d{1,3}(?:(?:\{,\}|,?\\[!,;: ]\s?|~)\d{3})+(?!\d)"
_PLAIN_GROUPS = r"\d{1,3}(?:[, ]\d{3})+(?!\d)(?!,\d)"
_POINT_GROUPS = r"\d{1,3}(?:\.\d{3})+,\d+(?!\d)"
_EXPONENT = r"(?:[eE][-+]?\d{1,12}(?![\w.]))"
_LEXEMES = r"""
 (?P<space>\s+|\\[,;:!\ /]|~|\\(?=\n))
|(?P<num>{number})
|(?P<rowend>\\\\(?:\[[^\]]{{0,10}}\])?)
|\\(?P<cmd>[a-zA-Z]+)\*?
|\\(?P<esc>[^a-zA-Z\s])
|(?P<word>[A-Za-z]+)
|(?P<op><=|>=|!=|==|\*\*|\+-|=<|->|[-+*/^_=<>!|(){{}}\[\],;:.%&'"¤€£¥?])
"""


class CannotReadError(Exception):
    """Raised when a text cannot be understood as an answer; the message is a reason a person can read."""


class Commas(Enum):
    """What a comma between digits means."""

    GROUP = "1,000 is a thousand"
    SEPARATE = "1,000 is one and nought"
    DECIMAL = "1,22 is one and twenty-two hundredths"


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    kind: str
    """``num``, ``cmd``, ``word``, ``op``, ``text``, ``row`` (end of a matrix row) or ``end``."""

    text: str
    spaced: bool = False
    """White space stands before it."""


def _pattern(commas: Commas) -> re.Pattern[str]:
    numbers = [_REPEATING, _TEX_GROUPS + _DECIMAL + "?"]
    if commas is Commas.GROUP:
        numbers += [_POINT_GROUPS, _PLAIN_GROUPS + _DECIMAL + "?"]
    elif commas is Commas.DECIMAL:
        numbers.append(r"\d+,\d+")
    numbers.append(rf"(?:\d+{_DECIMAL}?|{_DECIMAL}){_EXPONENT}?")
    return re.compile(_LEXEMES.format(number="|".join(numbers)), re.VERBOSE)


_PATTERNS = {commas: _pattern(commas) for commas in Commas}


def prepared(text: str) -> str:
    r"""Return ``text`` in ASCII and LaTeX, its mathematics delimiters dropped and ``¤`` for a dollar.

    Raises:
        CannotReadError: There are control characters in it.
    """
    text = plain_characters(text.strip().replace("\x0crac", "\\frac").replace("\x08oxed", "\\boxed"))
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise CannotReadError("it holds control characters")
    text = re.sub(r"\\[()\[\]](?!\d*(?:pt|em|ex)\])", " ", text) if re.search(r"\\[(\[]", text) else text
    if "\\begin" not in text:
        text = re.sub(r"\\{2,}(?=[a-zA-Z%$])", r"\\", text)
    text = re.sub(r"\\(?:boxed|fbox)\s?(?=\{)", "", text)
    text = text.replace("\\$", "¤").replace("$$", " ")
    text = _UNIT_OUTSIDE.sub(r"\1 \\text{ \2}", text)
    if text.count("$") == 1 and re.search(r"^\s*-?\$\s?-?[\d.]|\d\s?\$\s*$|\(\$\d", text):
        text = text.replace("$", "¤")
    text = text.replace("$", " ")
    text = re.sub(r"(?<=[\d)\]}])(or|and)(?=[A-Z\d(\\])", r" \1 ", text)
    return text.strip().rstrip("\\").strip(' "`*')


def tokenize(text: str, commas: Commas) -> list[Token]:
    """Return the tokens of a prepared text, ``end`` last.

    Args:
        text: What ``prepared`` returned.
        commas: What a comma between digits means; inside brackets commas separate, unless spaced ones do that.

    Raises:
        CannotReadError: There are too many tokens, a number is too long, or a character means nothing here.
    """
    tokens: list[Token] = []
    groups_inside = commas is Commas.GROUP and re.search(r"\d, ", text) is not None
    position, depth, spaced = 0, 0, False
    while position < len(text):
        style = commas if depth == 0 or groups_inside else Commas.SEPARATE
        match = _PATTERNS[style].match(text, position)
        if match is None:
            raise CannotReadError(f"{text[position]!r} means nothing in an answer")
        token, position = _token(match, spaced)
        spaced = token.kind == "space" or (spaced and token.kind == "ignored")
        if token.kind in ("space", "ignored"):
            continue
        tokens.append(token)
        depth += _nesting(token)
        if len(tokens) > MAX_TOKENS:
            raise CannotReadError(f"it is longer than {MAX_TOKENS} tokens")
    tokens.append(Token("end", "", spaced))
    return tokens


def _token(match: re.Match[str], spaced: bool) -> tuple[Token, int]:  # noqa: FBT001 - the token's own field
    """Return a token and where the text goes on."""
    kind = match.lastgroup or "space"
    value = match[kind]
    if kind == "cmd":
        return _command(match, value, spaced)
    if kind == "num" and len(value) > MAX_DIGITS:
        raise CannotReadError(f"a number of more than {MAX_DIGITS} digits is too large")
    if kind == "esc":
        kind, value = ("cmd", "lbrace" if value == "{" else "rbrace") if value in "{}" else ("op", value)
    return Token({"rowend": "row"}.get(kind, kind), value, spaced), match.end()


def _command(match: re.Match[str], value: str, spaced: bool) -> tuple[Token, int]:  # noqa: FBT001 - as above
    known = _known_prefix(value)
    text, position = match.string, match.start() + 1 + len(known)
    if known == value:
        position = match.end()
    if known in TEXT_COMMANDS:
        inner, position = _braced(text, position)
        return Token("text", inner, spaced), position
    if known in IGNORED:
        empty_delimiter = known in ("left", "right") and text[position : position + 1] == "."
        return Token("space" if known in SPACING else "ignored", known), position + empty_delimiter
    return Token("cmd", known, spaced), position


def _nesting(token: Token) -> int:
    if token.kind not in ("op", "cmd"):
        return 0
    if token.text in ("(", "[", "lbrace", "langle"):
        return 1
    return -1 if token.text in (")", "]", "rbrace", "rangle") else 0


def _known_prefix(name: str) -> str:
    r"""Return the longest known command that ``name`` starts with: ``\quadx`` is ``\quad x``; else ``name``."""
    if name in COMMANDS:
        return name
    for end in range(len(name) - 1, 1, -1):
        if name[:end] in COMMANDS:
            return name[:end]
    return name


def _braced(text: str, position: int) -> tuple[str, int]:
    """Return the inside of the group at ``position`` and where it ends; a bare letter counts as one."""
    while position < len(text) and text[position] == " ":
        position += 1
    if text[position : position + 1] != "{":
        return text[position : position + 1], position + 1
    depth = 0
    for i in range(position, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[position + 1 : i], i + 1
    return text[position + 1 :], len(text)
