r"""Cut an answer into tokens: LaTeX commands, numbers, words, signs and pieces of running text.

Everything is decided by one pass of bounded regular expressions; the number of tokens is limited here, before
anything is built or computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from verifiers.math.normal import plain_characters

__all__ = ["CannotReadError", "Commas", "Token", "prepared", "tokenize"]

MAX_TOKENS = 800
MAX_DIGITS = 1_000  # of one number; a longer one is no answer, and arithmetic on it costs

KNOWN_COMMANDS = frozenset(
    ["frac", "sqrt", "cbrt", "cdot", "times", "div", "ast", "pm", "mp", "le", "leq", "leqslant", "ge", "geq", "geqslant", "ne", "neq", "lt", "gt", "approx", "equiv", "sim", "in", "notin", "to", "cup", "cap", "setminus", "infty", "emptyset", "varnothing", "circ", "degree", "pi", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "log", "ln", "lg", "exp", "binom", "choose", "sum", "prod", "int", "lim", "min", "max", "gcd", "lcm", "det", "langle", "rangle", "lfloor", "rfloor", "lceil", "rceil", "lvert", "rvert", "vert", "mid", "lbrace", "rbrace", "lbrack", "rbrack", "begin", "end", "boxed", "mathbb", "mathbf", "mathcal", "boldsymbol", "vec", "hat", "bar", "overline", "overrightarrow", "widehat", "underline", "tilde", "dot", "angle", "triangle", "pmod", "bmod", "mod", "over", "prime", "ldots", "cdots", "dots", "dotsc", "dotsm", "left", "right", "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell", "partial", "nabla", "forall", "exists", "land", "lor", "wedge", "vee", "Re", "Im", "implies", "Rightarrow", "iff", "quad", "qquad", "text", "textbf", "textit", "textrm", "texttt", "textsf", "mbox", "mathrm", "operatorname", "mathit", "mathsf", "bf", "rm", "it", "displaystyle", "textstyle", "limits", "perp", "parallel", "oplus", "colon", "bullet", "star", "backslash", "pounds", "euro", "blacksquare", "square", "cong", "propto", "hline", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "bigcup", "bigcap", "smallsetminus", "arg", "deg", "dim", "ker", "hom", "sup", "inf", "lnot", "neg", "top", "bot", "mathop", "not", "space", "thinspace", "underbrace", "overbrace", "hspace", "hfill", "newline", "tag", "label", "phantom", "hphantom", "vphantom", "Leftrightarrow", "leftrightarrow", "rightarrow", "mapsto", "longrightarrow", "therefore", "because", "checkmark"]
)  # fmt: skip
_TEXT_COMMANDS = frozenset(
    [
        "text",
        "textbf",
        "textit",
        "textrm",
        "texttt",
        "textsf",
        "mbox",
        "mathrm",
        "operatorname",
        "mathit",
        "mathsf",
    ]
)
_IGNORED = frozenset(
    [
        "left",
        "right",
        "displaystyle",
        "textstyle",
        "limits",
        "big",
        "Big",
        "bigg",
        "Bigg",
        "bigl",
        "bigr",
        "Bigl",
        "Bigr",
        "bf",
        "rm",
        "it",
        "quad",
        "qquad",
        "space",
        "thinspace",
        "hline",
        "hfill",
        "newline",
    ]
)
_SPACING = frozenset("quad qquad space thinspace")

_REPEATING = r"(?:\d{0,9}\.\d{0,40})\\(?:overline|bar|dot)\s?\{\d{1,40}\}"
_DECIMAL = r"(?:\.\d+)"
_TEX_GROUPS = r"\d{1,3}(?:(?:\{,\}|,?\\[!,;: ]\s?|~)\d{3})+(?!\d)"
_PLAIN_GROUPS = r"\d{1,3}(?:[, ]\d{3})+(?!\d)(?!,\d)"
_POINT_GROUPS = r"\d{1,3}(?:\.\d{3})+,\d+(?!\d)"
_EXPONENT = r"(?:[eE][-+]?\d{1,12}(?![\w.]))"
_TOKEN = r"""
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
    return re.compile(_TOKEN.format(number="|".join(numbers)), re.VERBOSE)


_PATTERNS = {commas: _pattern(commas) for commas in Commas}


def prepared(text: str) -> str:
    r"""Return ``text`` in ASCII and LaTeX, its mathematics delimiters dropped, ``¤`` for a dollar, ``\\frac`` undoubled.

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
    if text.count("$") == 1 and re.search(r"^\s*-?\$\s?-?[\d.]|\d\s?\$\s*$|\(\$\d", text):
        text = text.replace("$", "¤")
    text = text.replace("$", " ")
    text = re.sub(r"(?<=[\d)\]}])(or|and)(?=[A-Z\d(\\])", r" \1 ", text)
    return text.strip().rstrip("\\").strip(' "`*')


def tokenize(text: str, commas: Commas) -> list[Token]:
    """Return the tokens of a prepared text, ``end`` last.

    Args:
        text: What ``prepared`` returned.
        commas: What a comma between digits means outside brackets; inside them it always separates.

    Raises:
        CannotReadError: There are too many tokens, a number is too long, or a character means nothing here.
    """
    tokens: list[Token] = []
    position, depth, spaced = 0, 0, False
    inside = commas if re.search(r"\d, ", text) and commas is Commas.GROUP else Commas.SEPARATE
    while position < len(text):
        match = _PATTERNS[commas if depth == 0 else inside].match(text, position)
        if match is None:
            raise CannotReadError(f"{text[position]!r} means nothing in an answer")
        position = match.end()
        kind = match.lastgroup or "space"
        if kind == "space":
            spaced = True
            continue
        value = match[kind]
        if kind == "cmd":
            known = _known_prefix(value)
            position -= len(match[0]) - 1 - len(known)
            if known in _IGNORED:
                spaced = spaced or known in _SPACING
                if known in ("left", "right") and text[position : position + 1] == ".":
                    position += 1
                continue
            if known in _TEXT_COMMANDS:
                inner, position = _braced(text, position)
                tokens.append(Token("text", inner, spaced))
                spaced = False
                continue
            value = known
        elif kind == "esc":
            kind, value = _escaped(value)
        elif kind == "rowend":
            kind = "row"
        elif kind == "num" and len(value) > MAX_DIGITS:
            raise CannotReadError(f"a number of more than {MAX_DIGITS} digits is too large")
        depth += _nesting(kind, value)
        tokens.append(Token(kind, value, spaced))
        spaced = False
        if len(tokens) > MAX_TOKENS:
            raise CannotReadError(f"it is longer than {MAX_TOKENS} tokens")
    tokens.append(Token("end", "", spaced))
    return tokens


def _nesting(kind: str, value: str) -> int:
    if (kind == "op" and value in "([") or (kind == "cmd" and value in ("lbrace", "langle")):
        return 1
    if (kind == "op" and value in ")]") or (kind == "cmd" and value in ("rbrace", "rangle")):
        return -1
    return 0


def _escaped(character: str) -> tuple[str, str]:
    if character in "{}":
        return "cmd", "lbrace" if character == "{" else "rbrace"
    if character == "|":
        return "op", "|"
    return "op", character


def _known_prefix(name: str) -> str:
    r"""Return the longest known command that ``name`` starts with: ``\quadx`` is ``\quad x``; else ``name``."""
    if name in KNOWN_COMMANDS or name in ("tfrac", "dfrac", "cfrac", "dbinom", "tbinom"):
        return name
    for end in range(len(name) - 1, 1, -1):
        if name[:end] in KNOWN_COMMANDS:
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
