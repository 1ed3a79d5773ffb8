"""Parse sums, products, powers and signs: precedence climbing over atoms that a subclass knows."""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.cursor import Cursor
from verifiers.math.tokens import Token
from verifiers.math.tree import Add, Call, Degrees, Div, Mul, Node, Num, Percent, PlusMinus, Pow, Sym, Tuple
from verifiers.math.vocabulary import ATOMS, FRACTIONS

__all__ = ["OperatorParser", "negated"]


class OperatorParser(Cursor):
    """One method per level of precedence."""

    _bars = 0
    """How many ``|`` are open; inside, the next one closes."""

    def contents(self, *closing: str) -> list[Node]:
        """Return the separated items up to a closing token, which is left."""
        raise NotImplementedError

    def atom(self) -> Node:
        """A number, a variable, a function with its argument, or a group."""
        raise NotImplementedError

    def sum(self) -> Node:
        """Sums, differences and plus-minus."""
        left: Node | None = None
        terms: list[Node] = []
        while True:
            if self.at("pm", "mp", "+-"):
                upper = self.take().text != "mp"
                before = left if not terms else terms[0] if len(terms) == 1 else Add(tuple(terms))
                left, terms = PlusMinus(before, self.term(), upper), []
                terms.append(left)
            elif self.accept("+"):
                terms.append(self.term())
            elif self.accept("-"):
                terms.append(negated(self.term()))
            elif not terms:
                terms.append(self.term())
            else:
                return terms[0] if len(terms) == 1 else Add(tuple(terms))

    def term(self) -> Node:
        """Products, quotients, and juxtaposition, from left to right."""
        sign = False
        while self.at("-", "+"):
            sign ^= self.take().text == "-"
        left = self.factor()
        while True:
            if self.accept("*", "cdot", "times", "ast", "bullet"):
                left = _product(left, self.factor())
            elif self.at("/", "div"):
                self.take()
                left = Div(left, self.factor())
            elif self.starts_atom():
                left = self.juxtaposed(left)
            elif self.accept("choose"):
                left = Call("binomial", (left, self.factor()))
            else:
                return negated(left) if sign else left

    def juxtaposed(self, left: Node) -> Node:
        r"""A product without a sign; ``1\\frac12`` and ``1 1/2`` are sums."""
        number = isinstance(left, Num) and left.places is None and left.value.denominator == 1
        token = self.peek()
        if number and token.text in FRACTIONS:
            right = self.power(self.atom())
            if isinstance(right, Div) and isinstance(right.above, Num) and isinstance(right.below, Num):
                return self.postfixed(Add((left, right)))
            return _product(left, right)
        if token.kind == "num":
            if number and self.peek(1).text == "/" and self.peek(2).kind == "num" and token.spaced:
                above = self.atom()
                self.take()
                return Add((left, Div(above, self.atom())))
            if isinstance(left, Num) or self.previous_is_number():
                raise self.unexpected("two numbers stand side by side")
        return _product(left, self.factor())

    def previous_is_number(self) -> bool:
        """Tell whether the token just taken was a number."""
        return self._next > 0 and self._tokens[self._next - 1].kind == "num"

    def starts_atom(self) -> bool:
        """Tell whether the next token can begin a factor that is multiplied without a sign."""
        token = self.peek()
        if token.kind in ("num", "letter", "begin"):
            return True
        if token.kind == "cmd":
            return token.text in ATOMS
        if token.text == "(" and self.peek(1).text in ("mod", "bmod"):
            return False
        return token.kind == "op" and (token.text in "([{" or (token.text == "|" and self._bars == 0))

    def factor(self) -> Node:
        """A power, with signs before it and per cent, factorial or degree signs behind it."""
        if self.at("-", "+"):
            sign = self.take().text == "-"
            inner = self.factor()
            return negated(inner) if sign else inner
        return self.postfixed(self.power(self.atom()))

    def power(self, base: Node) -> Node:
        """Exponents, which bind from the right."""
        base = self._factorials(base)
        while self.at("^", "**"):
            self.take()
            if self._degree_sign():
                base = Degrees(base)
                continue
            if self.at("prime"):
                self.take()
                base = _primed(base)
                continue
            base = Pow(base, self.argument(digits=False))
            base = self._factorials(base)
        if self.accept("degree", "circ"):
            base = Degrees(base)
        return base

    def _degree_sign(self) -> bool:
        if self.accept("circ", "degree"):
            return True
        if self.at("{") and self.peek(1).text in ("circ", "degree") and self.peek(2).text == "}":
            self.skip(3)
            return True
        return False

    def _factorials(self, base: Node) -> Node:
        while self.at("!", "'"):
            base = Call("factorial", (base,)) if self.take().text == "!" else _primed(base)
        return base

    def postfixed(self, value: Node) -> Node:
        """Per cent signs behind a value."""
        while self.accept("%"):
            value = Percent(value)
        return value

    def argument(self, *, digits: bool) -> Node:
        r"""One LaTeX argument: a braced group, or one token.

        Args:
            digits: Take one digit of a number only, as in ``\frac12``; an exponent takes the whole number.
        """
        if self.at("{"):
            self.take()
            inner = self.group("}")
            self.expect("}")
            return inner
        if self.at("-", "+"):
            sign = self.take().text == "-"
            inner = self.argument(digits=digits)
            return negated(inner) if sign else inner
        token = self.peek()
        if digits and token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
            self.take()
            self.put_back(Token("num", token.text[1:]))
            return Num(Fraction(int(token.text[0])))
        inner = self.nested(self.atom)
        if not digits and self.at("^", "**"):
            return self.nested(lambda: self.power(inner))
        return inner

    def group(self, *closing: str) -> Node:
        """The inside of a group that must hold one value; several items become a tuple without brackets."""
        bars, self._bars = self._bars, 0
        items: list[Node] = []

        def inside() -> Node:
            items.extend(self.contents(*closing))
            return items[0] if len(items) == 1 else Tuple("", tuple(items), "")

        value = self.nested(inside)
        self._bars = bars
        if not items:
            raise self.unexpected("a group is empty")
        return value


def negated(value: Node) -> Node:
    """Return minus ``value``; a number stays a number."""
    if isinstance(value, Num):
        return Num(-value.value, value.places)
    if isinstance(value, Percent):
        return Percent(negated(value.value))
    return Mul((Num(Fraction(-1)), value))


def _product(left: Node, right: Node) -> Node:
    if isinstance(right, Percent):
        return Percent(_product(left, right.value))
    if isinstance(left, Mul):
        return Mul((*left.factors, right))
    return Mul((left, right))


def _primed(value: Node) -> Node:
    return Sym(f"{value.name}'") if isinstance(value, Sym) else Call("prime", (value,))
