"""Parse the relations, sets and lists around expressions."""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.expressions import ExpressionParser
from verifiers.math.sayings import worded
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import (
    Call,
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
    Tuple,
)  # fmt: skip
from verifiers.math.units import MULTIPLIERS
from verifiers.math.words import plain_words

__all__ = ["AnswerParser"]

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
            self._skip_alignment()
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

    def _skip_alignment(self) -> None:
        r"""Pass over ``&`` before a relation sign, also at the beginning of the next row: ``x &= 2 + 3 \\ &= 5``."""
        for n, before in enumerate((["&"], ["row", "&"]), 1):
            marks = [self.peek(i).kind if self.peek(i).kind == "row" else self.peek(i).text for i in range(n)]
            if marks == before and self.peek(n).text in _RELATIONS:
                self.skip(n)

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
        return worded(text)

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
