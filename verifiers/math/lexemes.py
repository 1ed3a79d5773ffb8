r"""Cut a chain of thought into lexemes: numbers, operators, brackets, relation signs, words, and what is unclear.

Unlike ``tokens``, which reads an answer that is mathematics throughout, this reads prose in which some arithmetic
stands, and keeps the positions. One pass of bounded patterns: the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ENDS", "STARTS", "Lexeme", "lexemes", "plain_text"]

MAX_NUMBER_CHARS = 300
MAX_GROUP_CHARS = 300

_SAME_LENGTH = str.maketrans(
    "−–—‐‑×⋅·∙∗•÷∕⁄≅≃\u00a0\u202f\u2009’＝`", "-----*****;///≈≈   '= "
)  # one character each
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*(?=[^\s*])((?:[^*\n]|\*(?!\*)){1,200}?)(?<=[^\s*])\*\*(?![\w(*])")
_CODE = re.compile(r"```.{0,20000}?(?:```|\Z)|\[asy\].{0,20000}?(?:\[/asy\]|\Z)", re.DOTALL)
_SIGNS = {c: ("power", f"^{n}") for n, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {
    "½": ("term", "(1/2)"), "¼": ("term", "(1/4)"), "¾": ("term", "(3/4)"), "⅓": ("term", "(1/3)"),
    "⅔": ("term", "(2/3)"), "⅕": ("term", "(1/5)"), "⅛": ("term", "(1/8)"),
}  # fmt: skip

_LEXEME = re.compile(
    r"""
 (?P<line>\n|\\\\(?:\[[^\]\n]{0,10}\])?
   |\\(?:begin|end)\s?\{(?:align|aligned|alignat|gather|gathered|equation|split|cases
   |multline|eqnarray|center)\*?\}|\#\#\#\#|\\[\[\]]|\$\$)
|(?P<repeat>\d{0,9}\.\d{0,40}\\(?:overline|bar)\s?\{\d{1,40}\})
|(?P<space>[ \t\r\f\v]+|\\[,;:!\ ]|~|&|\\(?:left|right|displaystyle|textstyle|boxed|fbox|mathbf|big|Big|bigg|Bigg
   |bigl|bigr|quad|qquad|limits)(?![a-zA-Z])|\\[()])
|(?P<num>(?:\d{1,3}(?:(?:,|\{,\}|\\[,!])\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.)])\.\d+)(?:[eE][-+]?\d{1,4}(?!\w))?)
|(?P<ell>\.\.\.+|…|\\(?:ldots|cdots|dots|dotsb|dotsc)(?![a-zA-Z]))
|(?P<clash>(?<=\d)[:,](?=\d)|(?<=\d)_(?=[\d{]))
|(?P<rel>==?(?!>)|≈|~=|\\(?:approx|doteq|simeq)(?![a-zA-Z]))
|(?P<brk><=|>=|=>|->|[<>≤≥≠→⇒∴∵≡]|!=|:=|\\(?:le|leq|leqslant|ge|geq|geqslant|ne|neq|lt|gt|equiv|Rightarrow
   |implies|rightarrow|to|iff|Leftrightarrow|therefore|because|mid|in)(?![a-zA-Z]))
|(?P<op>\*\*|[-+*/^]|(?<=[\d)])(?<!\b0)[xX](?=\d)|\\(?:times|cdot|div|ast)(?![a-zA-Z]))
|(?P<pct>\\?%)
|(?P<cur>\\?\$|[€£¥])
|(?P<deg>°|\^\s?\{?\s?\\circ\s?\}?)
|(?P<open>[(\[])|(?P<close>[)\]])
|(?P<group>\{)
|\\(?P<text>text|textbf|textit|textrm|mbox|mathrm|operatorname)\s?\{
|\\(?P<args>frac|dfrac|tfrac|cfrac|sqrt|binom|dbinom|tbinom)(?![a-zA-Z])
|(?P<mod>\\(?:pmod|bmod|mod)(?![a-zA-Z]))
|(?P<root>√\s?(?:\d{1,40}(?:\.\d{1,40})?|\([^()]{1,80}\))|sqrt\s?\([^()]{1,80}\))
|(?P<pi>\\pi(?![a-zA-Z])|π)
|(?P<cmd>\\[a-zA-Z]+)
|(?P<word>[A-Za-zÀ-ÿ][\wÀ-ÿ]*(?:'[a-z]{1,2}(?![a-z]))?)
|(?P<bang>!)
|(?P<punct>[.,;:?"'])
|(?P<other>.)
""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = {"x": "*", "X": "*", "**": "^", "\\times": "*", "\\cdot": "*", "\\div": "/", "\\ast": "*"}
_N_ARGUMENTS = {"sqrt": 1}


ENDS = frozenset(("num", "term", "close", "pct", "bang", "deg", "power", "sym"))
"""Kinds that an expression may end with."""

STARTS = frozenset(("num", "term", "open", "cur", "sym"))
"""Kinds that one may begin with, but for its sign."""


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of a chain."""

    kind: str
    """``num``, ``term`` (a fraction, root or group), ``sym``, ``op``, ``open``, ``close``, ``pct``, ``cur``, ``deg``,
    ``bang``, ``ell``, ``word``, ``rel``, ``brk`` (another relation), ``punct``, ``line``, ``mod`` or ``clash`` (makes
    what stands beside it unclear)."""

    text: str
    """As the grammar of answers reads it."""

    start: int
    end: int
    spaced: bool = False
    """White space stands before it."""


def plain_text(text: str) -> str:
    """Return ``text``, of the same length, with typographic signs in ASCII and without code blocks and emphasis."""
    text = _CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text).translate(_SAME_LENGTH)
    return _BOLD.sub(lambda m: f"  {m[1]}  ", text)


def lexemes(text: str) -> Iterator[Lexeme]:
    """Yield the lexemes of what ``plain_text`` returned."""
    position, spaced = 0, True
    while position < len(text):
        match = _LEXEME.match(text, position)
        if match is None:  # cannot happen: the last alternative takes anything
            return
        kind, position = match.lastgroup or "other", match.end()
        if kind == "space":
            spaced = True
            continue
        if kind in ("group", "args", "text"):
            end = _arguments_end(text, match, kind)
            if kind == "text":
                yield from _words(text[match.end() : end - 1], match.end())
                position = end
            elif end < 0:
                yield Lexeme("clash", match[0], match.start(), match.end(), spaced)
            else:
                yield Lexeme("term", text[match.start() : end], match.start(), end, spaced)
                position = end
        else:
            yield _lexeme(kind, match, spaced=spaced)
        spaced = False


def _lexeme(kind: str, match: re.Match[str], *, spaced: bool) -> Lexeme:
    text = match[0]
    match kind:
        case "num":
            text = re.sub(r"[^\d.eE+-]", "", text)
            kind = "num" if len(text) <= MAX_NUMBER_CHARS else "clash"
        case "repeat":
            kind = "num"
        case "op":
            text = _OPERATORS.get(text, text)
        case "word":
            kind = "sym" if len(text) == 1 else "clash" if re.search(r"[\d_]", text) else "word"
        case "root":
            kind, text = "term", f"\\sqrt{{{text.removeprefix('sqrt').strip('√ ()')}}}"
        case "pi":
            kind, text = "term", "\\pi"
        case "cmd":
            kind = "sym"
        case "rel":
            text = "=" if text.startswith("=") else "~"
        case "other":
            kind, text = _SIGNS.get(text, ("clash", text))
    return Lexeme(kind, text, match.start(), match.end(), spaced)


def _words(inner: str, start: int) -> Iterator[Lexeme]:
    for match in re.finditer(r"[A-Za-z]+|\S", inner[:MAX_GROUP_CHARS]):
        where = start + match.start(), start + match.end()
        kind = "word" if match[0].isalpha() else "pct" if match[0] == "%" else "punct"
        yield Lexeme(kind, match[0], *where, spaced=True)


def _arguments_end(text: str, match: re.Match[str], kind: str) -> int:
    """Return where the braces of a group or of a command's arguments end; -1 when they don't."""
    if kind in ("group", "text"):
        end = _group_end(text, match.end() - 1)
        return end if end > 0 else (-1 if kind == "group" else match.end() + 1)
    position = match.end()
    if match["args"] == "sqrt" and text[position : position + 1] == "[":
        position = text.find("]", position, position + 20) + 1 or position
    for _ in range(_N_ARGUMENTS.get(match["args"], 2)):
        while text[position : position + 1] == " ":
            position += 1
        position = _group_end(text, position) if text[position : position + 1] == "{" else position + 1
        if position <= 0 or position > len(text):
            return -1
    return position


def _group_end(text: str, position: int) -> int:
    depth = 0
    for i in range(position, min(len(text), position + MAX_GROUP_CHARS)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i + 1
    return -1
