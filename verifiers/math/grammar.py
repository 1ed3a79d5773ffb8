"""Read a text as an answer: the relations, sets and lists around expressions, and what else a text may mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from verifiers.math.expressions import ExpressionParser
from verifiers.math.tokens import CannotReadError, Commas, prepared, tokenize
from verifiers.math.tree import (
    Call,
    Choice,
    Clock,
    Const,
    Degrees,
    Listing,
    Mul,
    Node,
    Num,
    Percent,
    Quantity,
    Ratio,
    Relation,
    SetOf,
    SetOp,
    Text,
    Tuple,
    depth,
)  # fmt: skip
from verifiers.math.units import MULTIPLIERS
from verifiers.math.words import NUMBER_WORDS, classified, is_prose, plain_words

__all__ = ["MAX_READ_CHARS", "Reading", "readings"]

MAX_READ_CHARS = 4_000
MAX_TREE_DEPTH = 60  # of nodes; comparing and converting recurse a few frames for each

_RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", "=<": "<=", ">=": ">=", "!=": "!=", "lt": "<", "gt": ">",
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=",
    "approx": "~", "sim": "~", "in": "in", "notin": "notin", "equiv": "==", "cong": "cong", "propto": "propto",
    "perp": "perp", "parallel": "parallel", "implies": "=>", "Rightarrow": "=>", "to": "->", "rightarrow": "->",
    "iff": "<=>", "mid": "mid", "->": "->", "mapsto": "->",
}  # fmt: skip
_SET_OPERATORS = {
    "cup": "cup",
    "cap": "cap",
    "setminus": "setminus",
    "smallsetminus": "setminus",
    "backslash": "setminus",
}
_LIST_ENVIRONMENTS = frozenset(("cases", "aligned", "align", "gathered", "gather", "split", "rcases"))
_CURRENCY = ("¤", "€", "£", "¥")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s?(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)? )?([a-z]{3,9})\.?(?: (\d{1,2})(?:st|nd|rd|th)?)?(?:,? (\d{4}))?"
)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_NOTHING = frozenset(
    ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "none")
)
_SAME_WORDS = {
    "dne": "does not exist", "undefined": "does not exist", "not defined": "does not exist",
    "true": "yes", "false": "no", "correct": "yes", "incorrect": "no",
}  # fmt: skip
_REALS = frozenset(("all real numbers", "all reals", "real numbers", "all real x", "all real values"))
_CHOICE = re.compile(
    r"(?:\\text(?:bf|rm)?\s?\{\s?\(?([A-F])\)[.:]?\s?\}|\(?([A-F])\)[.:]?)(?:\s|\\[ ,;:]|\\q?quad|~)+([^\s=<>+*/^].*)"
)
_LETTER_UNIT = re.compile(r"^[-+]?[\d.,]+\s?[a-zA-Z](?:\^\{?[23]\}?)?$")


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning a text may have."""

    tree: Node
    sure: bool = True
    """False when agreement in this meaning alone shows nothing (``5m`` as five metres)."""


class AnswerParser(ExpressionParser):
    """The whole language: lists of relations between sets and quantities."""

    _in_set = False

    def answer(self) -> Node:
        """Everything up to the end."""
        items = self.contents("")
        if self.peek().kind != "end":
            raise self.unexpected()
        if not items:
            raise CannotReadError("it is empty")
        return items[0] if len(items) == 1 else Listing(tuple(items), self._joiner)

    _joiner = ","

    def contents(self, *closing: str) -> list[Node]:
        """Return the items up to a closing token or the end."""
        items: list[Node] = []
        joiners: set[str] = set()
        while not (self.at(*closing) or self.peek().kind in ("end", "close")):
            items.append(self.relation())
            if not self._separators(joiners):
                break
        self._joiner = "or" if "or" in joiners else "and" if "and" in joiners else ","
        return items

    def _separators(self, joiners: set[str]) -> bool:
        found = False
        while True:
            token = self.peek()
            if token.kind == "join" or self.at("land", "lor", "wedge", "vee"):
                joiners.add(
                    {"land": "and", "wedge": "and", "lor": "or", "vee": "or"}.get(token.text, token.text)
                )
            elif not (token.kind == "row" or self.at(",", ";", "&")):
                return found
            self.take()
            found = True

    # -- relations ------------------------------------------------------------------------------------------------

    def relation(self) -> Node:
        """``a op b op c``, or a single side."""
        sides = [self._head() or self._union()]
        ops: list[str] = []
        while True:
            token = self.peek()
            op = _RELATIONS.get(token.text) if token.kind in ("op", "cmd") else None
            if op is None or (op == "mid" and self._in_set):
                break
            self.take()
            while op == "=" and self.accept("&"):
                pass
            if self.at("=") and op in "<>":  # "< =" cut apart
                self.take()
                op += "="
            ops.append(op)
            sides.append(self._union())
        bracket = self.at("(") and self.accept("(")
        if self.accept("pmod", "bmod", "mod"):
            sides[-1] = Call("mod", (sides[-1], self.nested(self.atom)))
            if bracket:
                self.expect(")")
        return sides[0] if not ops else Relation(tuple(ops), tuple(sides))

    def _head(self) -> Node | None:
        """``W(n)`` in front of an equals sign: any letter names a function there."""
        if self.peek().kind != "letter" or self.peek(1).text != "(":
            return None
        ahead = 2
        while self.peek(ahead).kind in ("letter", "num") and self.peek(ahead + 1).text == ",":
            ahead += 2
        last = [self.peek(ahead + n).text for n in (1, 2)]
        if self.peek(ahead).kind not in ("letter", "num") or last != [")", "="]:
            return None
        name = self.take().text
        inner = self._bracketed()
        return Call(f"{name}()", inner.items if isinstance(inner, Tuple) else (inner,))

    def _union(self) -> Node:
        left = self._quantity()
        while self.at(*_SET_OPERATORS):
            op = _SET_OPERATORS[self.take().text]
            left = SetOp(op, left, self._quantity())
        return left

    # -- quantities -----------------------------------------------------------------------------------------------

    def _quantity(self) -> Node:
        if self.peek().kind == "prose":
            return self._prose()
        if self.peek().kind == "begin" and self.peek().text in _LIST_ENVIRONMENTS:
            return self._environment()
        negative = self.at("-") and self.peek(1).text in _CURRENCY
        if negative:
            self.take()
        currency = self.take().text if self.at(*_CURRENCY) else ""
        value = self._ratio()
        if negative:
            value = Mul((Num(Fraction(-1)), value))
        if self.at(*_CURRENCY):
            currency = currency or self.take().text
        unit = self._unit()
        first, _, rest = unit.partition(" ")
        if first.lower() in MULTIPLIERS:
            value = Mul((value, Num(Fraction(MULTIPLIERS[first.lower()]))))
            unit = rest
        return _with_unit(value, currency or unit)

    def _ratio(self) -> Node:
        items = [self.sum()]
        while self.at(":", "colon") and not self._in_set:
            self.take()
            items.append(self.sum())
        return items[0] if len(items) == 1 else Ratio(tuple(items))

    def _unit(self) -> str:
        words: list[str] = []
        while True:
            token = self.peek()
            if token.kind == "unit" or (words and token.kind == "prose"):
                words.append(self.take().text)
            elif words and self.at("^"):
                self.take()
                exponent = self.argument(digits=False)
                words[-1] += f"^{exponent.value}" if isinstance(exponent, Num) else "?"
            elif words and self.at("/") and self.peek(1).kind in ("unit", "letter", "prose"):
                self.take()
                words[-1] += "/" + self.take().text
            elif words and token.kind == "op" and token.text == ".":
                self.take()
            elif words and token.kind == "cmd" and token.text == "in":
                words.append(self.take().text)
            else:
                return " ".join(words)

    def _prose(self) -> Node:
        words = []
        while self.peek().kind in ("prose", "letter", "unit"):
            words.append(self.take().text)
        text = plain_words(" ".join(words))
        if text is None:
            raise CannotReadError("it holds prose")
        return _worded(text)

    def _environment(self) -> Node:
        self.take()
        items = self.nested(lambda: Listing(tuple(self.contents("")), "and"))
        if self.peek().kind != "close":
            raise self.unexpected()
        self.take()
        return items

    # -- brackets -------------------------------------------------------------------------------------------------

    def _bracketed(self) -> Node:
        opening = self.take().text
        if opening == "lbrace":
            return self._set()
        closing = {"langle": ("rangle",)}.get(opening, (")", "]", "rbrack"))
        inner = self.group(*closing)
        end = self.expect(*closing).text
        opening, end = (
            ("(", ")")
            if opening == "langle"
            else (opening.replace("lbrack", "["), end.replace("rbrack", "]"))
        )
        if isinstance(inner, Tuple) and not inner.opening:
            return Tuple(opening, inner.items, end)
        return inner

    def _set(self) -> Node:
        was, self._in_set = self._in_set, True
        items: list[Node] = []
        self._bars += 1

        def inside() -> Node:
            items.extend(self.contents("rbrace", "mid", "|", ":", "colon"))
            return Const("empty")

        self.nested(inside)
        if self.accept("mid", "|", ":", "colon"):
            self._in_set = False
            condition = self.group("rbrace")
            self.expect("rbrace")
            self._in_set, self._bars = was, self._bars - 1
            if isinstance(condition, Tuple):
                condition = Listing(condition.items, "and")
            return condition
        self.expect("rbrace")
        self._in_set, self._bars = was, self._bars - 1
        return SetOf(tuple(items)) if items else Const("empty")


def readings(text: str) -> list[Reading]:
    """Return what ``text`` may mean, likeliest first; never empty.

    Raises:
        CannotReadError: It can't be understood; the message says why.
    """
    if len(text) > MAX_READ_CHARS:
        raise CannotReadError(f"an answer of more than {MAX_READ_CHARS} characters is too large")
    plain = prepared(text)
    if not plain:
        raise CannotReadError("it is empty")
    special = _clock(plain) or _date(plain)
    if special is not None:
        return [Reading(special)]
    choice = _CHOICE.fullmatch(plain)
    if choice is not None:
        return [Reading(Choice(choice[1] or choice[2], r.tree), sure=r.sure) for r in readings(choice[3])]
    words = plain_words(plain)
    if words is not None and not any(c.isdigit() for c in words):
        known = _known_words(words) or (Text(words) if is_prose(words) else None)
        if known is not None:
            return [Reading(known)]
    found: list[Reading] = []
    failure = CannotReadError("it is empty")
    for commas in _comma_styles(plain):
        try:
            tree = AnswerParser(classified(tokenize(plain, commas))).answer()
        except (CannotReadError, RecursionError) as error:
            failure = (
                error if isinstance(error, CannotReadError) else CannotReadError("it is nested too deeply")
            )
            continue
        if depth(tree) > MAX_TREE_DEPTH:
            failure = CannotReadError(f"it is nested deeper than {MAX_TREE_DEPTH} levels")
            continue
        if tree not in [r.tree for r in found]:
            found.append(Reading(tree))
    if found:
        return found + _letter_units(plain, found[0].tree)
    if (
        words is not None
        and len(words.split()) <= 40
        and any(w.isalpha() and len(w) > 1 for w in words.split())
    ):
        return [Reading(_worded(words))]
    raise failure


def _comma_styles(text: str) -> list[Commas]:
    if not re.search(r"\d[,. ]\d", text):
        return [Commas.SEPARATE]
    if re.fullmatch(r"[-+¤€£]*\s?\d+,\d+\D*", text) and not re.fullmatch(
        r"[-+¤€£]*\s?\d{1,3},\d{3}\D*", text
    ):
        return [Commas.DECIMAL, Commas.SEPARATE]
    styles = [Commas.GROUP]
    if re.search(r"\d,\d", text):
        styles.append(Commas.SEPARATE)
    return styles


def _letter_units(text: str, tree: Node) -> list[Reading]:
    """Five times m may be five metres; only a squared or cubed letter behind a number surely is a unit."""
    if not _LETTER_UNIT.fullmatch(text) or not isinstance(tree, Mul) or not isinstance(tree.factors[0], Num):
        return []
    unit = re.sub(r"[{}]", "", text.lstrip("+-0123456789., "))
    return [Reading(Quantity(tree.factors[0], unit), sure="^" in unit or tree.factors[0].places is not None)]


def _with_unit(value: Node, unit: str) -> Node:
    if not unit:
        return value
    lower = unit.lower().strip(" .")
    if lower in ("percent", "pct", "per cent", "percents") or lower.startswith(("percent ", "percentage")):
        return Percent(value)
    if lower in ("degrees", "degree", "deg"):
        return value if isinstance(value, Degrees) else Degrees(value)
    if isinstance(value, Degrees) and lower in ("c", "f", "celsius", "fahrenheit"):
        return Quantity(value.value, {"c": "celsius", "f": "fahrenheit"}.get(lower, lower))
    return Quantity(value, unit)


def _known_words(words: str) -> Node | None:
    """Return what words say in mathematics, or a text for those that are surely only words."""
    if words in _NOTHING:
        return Const("empty")
    if words in _REALS:
        return Const("reals")
    if words in NUMBER_WORDS:
        return Num(Fraction(NUMBER_WORDS[words]))
    tens, _, units = words.partition(" ")
    if NUMBER_WORDS.get(tens, 0) >= 20 and 0 < NUMBER_WORDS.get(units, 0) < 10:
        return Num(Fraction(NUMBER_WORDS[tens] + NUMBER_WORDS[units]))
    if words in _SAME_WORDS:
        return Text(_SAME_WORDS[words])
    if words in ("infinity", "positive infinity"):
        return Const("inf")
    return None


def _worded(words: str) -> Node:
    return _known_words(words) or Text(words.strip("()., "))


def _clock(text: str) -> Clock | None:
    plain = re.sub(r"\\(?:text|mbox|textrm)\s?\{([^{}]{0,20})\}", r"\1", text)
    plain = re.sub(r"\\[ ,;:!]|~", " ", plain).replace("{", "").replace("}", "")
    match = _CLOCK.fullmatch(re.sub(r"\s+", " ", plain).strip())
    if match is None or int(match[1]) > 24 or int(match[2]) > 59:
        return None
    return Clock(int(match[1]), int(match[2]), f"{match[3].lower()}m" if match[3] else None)


def _date(text: str) -> Text | None:
    plain = re.sub(r"\\(?:text|mbox|textrm)\s?\{([^{}]{0,40})\}", r"\1", text)
    match = _DATE.fullmatch(re.sub(r"\s+", " ", plain).strip(" .").lower())
    if match is None or not (match[1] or match[3] or match[4]):
        return None
    month = next((n for n, m in enumerate(_MONTHS, 1) if m == match[2] or m[:3] == match[2]), None)
    day = match[1] or match[3]
    if month is None or (match[1] and match[3]):
        return None
    return Text(f"{match[4] or '----'}-{month:02}-{int(day):02}" if day else f"{match[4]}-{month:02}")
