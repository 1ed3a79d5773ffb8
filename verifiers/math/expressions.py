r"""Parse the scalar part of the answer language: sums, products, powers, functions, groups.

Written by hand, as precedence climbing, and not as a Lark grammar: in LaTeX a bar opens or closes according to what
stands before it, products have no sign, ``1\frac12`` is a sum, function arguments need no brackets and end where the
next function starts, and a comma separates or groups digits. An LALR grammar of that is a heap of conflicts, and an
Earley parser takes cubic time on hostile text. Every method here consumes at least one token per loop and the nesting
is counted, so the work is linear in the tokens and the stack is bounded.
"""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.tokens import CannotReadError, Token
from verifiers.math.tree import (
    Add,
    Based,
    Big,
    Call,
    Const,
    Degrees,
    Div,
    Matrix,
    Mul,
    Node,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Sym,
    Text,
    Tuple,
)  # fmt: skip
from verifiers.math.words import NUMBER_WORDS

__all__ = ["MAX_DEPTH", "MAX_EXPONENT", "ExpressionParser"]

MAX_DEPTH = 30  # of groups; nine frames each, and Python allows a thousand
MAX_EXPONENT = 2_000  # of a number in scientific notation

_FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "arccot",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "lg",
        "exp",
        "sqrt",
        "cbrt",
        "abs",
        "floor",
        "ceil",
        "min",
        "max",
        "gcd",
        "lcm",
        "det",
        "factorial",
        "arg",
        "Re",
        "Im",
    ]
)
_GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Upsilon",
        "Phi",
        "Psi",
        "Omega",
        "ell",
    ]
)
_ACCENTS = frozenset(
    [
        "mathbf",
        "mathcal",
        "boldsymbol",
        "vec",
        "hat",
        "bar",
        "overline",
        "overrightarrow",
        "widehat",
        "underline",
        "tilde",
        "dot",
        "mathop",
        "angle",
        "triangle",
        "bold",
    ]
)
_NAMED_SETS = {"R": "reals", "Z": "integers", "N": "naturals", "Q": "rationals", "C": "complexes"}
_FRACTIONS = frozenset(("frac", "tfrac", "dfrac", "cfrac"))
_BINOMIALS = frozenset(("binom", "dbinom", "tbinom"))
_BRACKETED_MATRICES = frozenset(("pmatrix", "bmatrix", "matrix", "smallmatrix", "array", "Bmatrix"))
_LEFT_COMMANDS = frozenset(("lbrace", "langle", "lfloor", "lceil", "lvert", "lbrack"))
_ATOM_COMMANDS = (
    _FUNCTIONS | _GREEK | _ACCENTS | _FRACTIONS | _BINOMIALS | _LEFT_COMMANDS
    | frozenset(["pi", "infty", "emptyset", "varnothing", "mathbb", "sum", "prod", "int"])
)  # fmt: skip
_UNKNOWN_FUNCTIONS = frozenset("fghFGHPQWT")


class ExpressionParser:
    """A cursor over tokens, with one method per level of precedence."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._bars = 0

    # -- the cursor -----------------------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> Token:
        """Return the token ``ahead`` places on, without taking it."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self._next += 1
        return token

    def at(self, *texts: str) -> bool:
        """Tell whether the next token is one of these signs or commands."""
        token = self.peek()
        return token.kind in ("op", "cmd") and token.text in texts

    def accept(self, *texts: str) -> bool:
        """Take the next token if it is one of these."""
        if self.at(*texts):
            self._next += 1
            return True
        return False

    def expect(self, *texts: str) -> Token:
        """Take the next token, which must be one of these."""
        if not self.at(*texts):
            raise self.unexpected(f"{texts[0]!r} was expected")
        return self.take()

    def unexpected(self, why: str = "it does not fit there") -> CannotReadError:
        """Return the error for the next token."""
        token = self.peek()
        what = "its end" if token.kind == "end" else repr(token.text[:40])
        return CannotReadError(f"cannot read {what}: {why}")

    def contents(self, *closing: str) -> list[Node]:
        """Return the separated items up to a closing token, which is left; overridden by the whole language."""
        raise NotImplementedError

    # -- levels of precedence -------------------------------------------------------------------------------------

    def sum(self) -> Node:
        """Sums, differences and plus-minus."""
        left: Node | None = None
        terms: list[Node] = []
        while True:
            if self.at("pm", "mp", "+-"):
                upper = self.take().text != "mp"
                before = left if not terms else Add(tuple(terms))
                left, terms = PlusMinus(before, self.term(), upper), []
                terms.append(left)
            elif self.accept("+"):
                terms.append(self.term())
            elif self.accept("-"):
                terms.append(_negated(self.term()))
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
                left = self._juxtaposed(left)
            elif self.accept("choose"):
                left = Call("binomial", (left, self.factor()))
            else:
                return _negated(left) if sign else left

    def _juxtaposed(self, left: Node) -> Node:
        number = isinstance(left, Num) and left.places is None and left.value.denominator == 1
        token = self.peek()
        if number and token.text in _FRACTIONS:
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
            return token.text in _ATOM_COMMANDS and not (token.text == "lbrack")
        if token.text == "(" and self.peek(1).text in ("mod", "bmod"):
            return False
        return token.kind == "op" and (token.text in "([{" or (token.text == "|" and self._bars == 0))

    def factor(self) -> Node:
        """A power, with signs before it and per cent, factorial or degree signs behind it."""
        if self.at("-", "+"):
            sign = self.take().text == "-"
            inner = self.factor()
            return _negated(inner) if sign else inner
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
            self._next += 3
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
            return _negated(inner) if sign else inner
        token = self.peek()
        if digits and token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
            self._tokens[self._next] = Token("num", token.text[1:])
            return Num(Fraction(int(token.text[0])))
        inner = self.nested(self.atom)
        if not digits and self.at("^", "**"):
            return self.nested(lambda: self.power(inner))
        return inner

    def nested(self, parse: object) -> Node:
        """Call ``parse`` one level deeper.

        Raises:
            CannotReadError: The nesting is deeper than ``MAX_DEPTH``.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CannotReadError(f"it is nested deeper than {MAX_DEPTH} levels")
        result: Node = parse()  # type: ignore[operator]
        self._depth -= 1
        return result

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

    # -- atoms ----------------------------------------------------------------------------------------------------

    def atom(self) -> Node:
        """A number, a variable, a function with its argument, or a group."""
        token = self.peek()
        if token.kind == "num":
            self.take()
            return self._maybe_based(number(token.text), token.text)
        if token.kind == "letter":
            return self._letter()
        if token.kind == "begin":
            return self._matrix()
        if token.kind == "cmd":
            return self._command()
        if token.kind == "op":
            if token.text in "([":
                return self._bracketed()
            if token.text == "{":
                return self.argument(digits=False)
            if token.text == "|":
                return self._absolute("|")
        raise self.unexpected()

    def _letter(self) -> Node:
        name = self.take().text
        if name in _UNKNOWN_FUNCTIONS and self.at("(") and not self.peek().spaced:
            inner = self._bracketed()
            return Call(f"{name}()", inner.items if isinstance(inner, Tuple) else (inner,))
        if self.at("_"):
            return self._subscripted(name)
        return Const(name) if name in ("e", "i") else Sym(name)

    def _subscripted(self, name: str) -> Node:
        self.expect("_")
        index = self.argument(digits=True)
        if isinstance(index, Num | Text):
            return Sym(f"{name}_{index.value if isinstance(index, Num) else index.words}")
        return Call(f"{name}_", (index,))

    def _maybe_based(self, value: Num, digits: str) -> Node:
        if not self.at("_") or not digits.isdigit():
            return value
        self.take()
        if self.at("{") and self.peek(1).kind in ("prose", "unit") and self.peek(2).text == "}":
            word = self.peek(1).text.strip().lower()
            self._next += 3
            base: int | Fraction = NUMBER_WORDS.get(word, 0)
        else:
            index = self.argument(digits=False)
            base = index.value if isinstance(index, Num) else 0
        if base not in range(2, 37):
            raise CannotReadError("the base of a numeral is not a number from 2 to 36")
        return Based(digits.lstrip("0") or "0", int(base))

    def _command(self) -> Node:
        name = self.take().text
        if name in _FRACTIONS:
            above = self.nested(lambda: self.argument(digits=True))
            return Div(above, self.nested(lambda: self.argument(digits=True)))
        if name in _BINOMIALS:
            above = self.nested(lambda: self.argument(digits=True))
            return Call("binomial", (above, self.nested(lambda: self.argument(digits=True))))
        if name in _FUNCTIONS:
            return self._function(name)
        if name in _GREEK:
            return self._subscripted(name) if self.at("_") else Sym(name)
        if name in _ACCENTS:
            return self._accented(name)
        if name in ("lfloor", "lceil", "lvert"):
            return self._enclosed(name)
        if name in ("lbrace", "langle", "lbrack"):
            self._next -= 1
            return self._bracketed()
        if name in ("sum", "prod", "int"):
            return self._big(name)
        return self._constant(name)

    def _constant(self, name: str) -> Node:
        if name == "pi":
            return Const("pi")
        if name == "infty":
            return Const("inf")
        if name in ("emptyset", "varnothing"):
            return Const("empty")
        if name == "mathbb":
            letter = self.argument(digits=False)
            if isinstance(letter, Sym) and letter.name in _NAMED_SETS:
                return Const(_NAMED_SETS[letter.name])
        self._next -= 1
        raise self.unexpected("this command means nothing in an answer")

    def _accented(self, name: str) -> Node:
        if name in ("angle", "triangle"):
            points = ""
            while self.peek().kind == "letter":
                points += self.take().text
            return Call(f"{name} of", (Sym(points),))
        inner = self.argument(digits=False)
        if name in (
            "overline",
            "bar",
            "vec",
            "hat",
            "overrightarrow",
            "widehat",
            "tilde",
            "dot",
            "angle",
            "triangle",
        ):
            return Call(f"{'vec' if name in ('vec', 'overrightarrow') else name} of", (inner,))
        if self.at("_") and isinstance(inner, Sym):
            return self._subscripted(inner.name)
        return inner

    def _enclosed(self, name: str) -> Node:
        if name == "lvert":
            return self._absolute("rvert")
        closing = {"lfloor": "rfloor", "lceil": "rceil"}[name]
        inner = self.group(closing)
        self.expect(closing)
        return Call("floor" if name == "lfloor" else "ceil", (inner,))

    def _absolute(self, closing: str) -> Node:
        if closing == "|":
            self.take()
        self._bars += 1
        inner = self.nested(self.sum)
        self.expect(closing)
        self._bars -= 1
        return Call("abs", (inner,))

    def _function(self, name: str) -> Node:
        if name == "sqrt":
            return self._root()
        base: Node | None = None
        power: Node | None = None
        while self.at("_", "^"):
            if self.take().text == "_":
                base = self.argument(digits=True)
            else:
                power = self.argument(digits=True)
        args = self._function_arguments(name)
        if name == "log" and base is not None:
            args = (*args, base)
        elif base is not None:
            raise CannotReadError(f"{name} with a subscript is not understood")
        if power == Num(Fraction(-1)) and name in ("sin", "cos", "tan", "cot"):
            return Call(f"arc{name}", args)
        call = Call({"lg": "log"}.get(name, name), args)
        return call if power is None else Pow(call, power)

    def _function_arguments(self, name: str) -> tuple[Node, ...]:
        if self.at("(", "[", "{", "lbrace", "lbrack"):
            inner = self.atom()
            return inner.items if isinstance(inner, Tuple) else (inner,)
        return (self.nested(lambda: self._bare_argument(name)),)

    def _bare_argument(self, name: str) -> Node:
        """The product that follows a function name without brackets; it ends where another function starts."""
        if self.at("-"):
            self.take()
            return _negated(self._bare_argument(name))
        value = self.factor()
        while self.starts_atom() and not self.at(*_FUNCTIONS, "(", "["):
            value = self._juxtaposed(value)
        if self.at("/") and self.peek(1).kind in ("num", "letter"):
            self.take()  # sin pi/3
            value = Div(value, self.factor())
        return value

    def _root(self) -> Node:
        index: Node | None = None
        if self.at("["):
            self.take()
            index = self.group("]")
            self.expect("]")
        radicand = self.argument(digits=False) if not self.at("(") else self.atom()
        return Call("sqrt", (radicand,)) if index is None else Call("root", (radicand, index))

    def _big(self, kind: str) -> Node:
        low: Node | None = None
        high: Node | None = None
        variable = ""
        while self.at("_", "^"):
            if self.take().text == "^":
                high = self.argument(digits=False)
            elif kind != "int" and self.at("{") and self.peek(2).text == "=":
                self.take()
                index = self.atom()
                variable = getattr(index, "name", "")
                self.expect("=")
                low = self.nested(self.sum)
                self.expect("}")
            else:
                low = self.argument(digits=False)
        body = self.nested(self.term)
        if kind == "int":
            body, variable = _without_differential(body)
        if not variable:
            raise CannotReadError(f"a {kind} without its variable is not understood")
        return Big(kind, variable, low, high, body)

    def _bracketed(self) -> Node:
        raise NotImplementedError

    def _matrix(self) -> Node:
        name = self.take().text
        if name == "array" and self.at("{"):
            while not self.accept("}"):
                if self.take().kind == "end":
                    raise self.unexpected()
        if name not in _BRACKETED_MATRICES:
            raise CannotReadError(f"the environment {name[:20]!r} is not understood here")
        rows: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while self.peek().kind != "close":
            row.append(self.nested(self.sum))
            if self.accept("&"):
                continue
            rows.append(tuple(row))
            row = []
            if self.peek().kind == "row":
                self.take()
            elif self.peek().kind != "close":
                raise self.unexpected()
        self.take()
        if not rows or len({len(r) for r in rows}) != 1 or len(rows) * len(rows[0]) > 100:
            raise CannotReadError("a matrix is ragged, empty or larger than 100 entries")
        return Matrix(tuple(rows))


def number(text: str) -> Num:
    """Return the value of a number token.

    Raises:
        CannotReadError: Its exponent is out of bounds.
    """
    repeating = text.find("\\overline") + text.find("\\bar") + text.find("\\dot") + 3
    if repeating > 0 and "\\" in text and "{" in text and not text.replace("{,}", "").isdigit():
        fixed, _, rest = text.partition("\\")
        if rest.startswith(("overline", "bar", "dot")):
            cycle = rest[rest.index("{") + 1 : -1]
            whole, _, decimals = fixed.partition(".")
            scale = 10 ** len(decimals)
            value = Fraction(int((whole or "0") + decimals), scale)
            return Num(value + Fraction(int(cycle), (10 ** len(cycle) - 1) * scale))
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise CannotReadError(f"a power of ten above {MAX_EXPONENT} is too large")
    if "," in mantissa and "." in mantissa and mantissa.rindex(",") > mantissa.rindex("."):
        mantissa = mantissa.replace(".", "").replace(",", ".")  # 1.234,5 as on the continent
    elif (
        mantissa.count(",") == 1 and not mantissa.replace("{,}", "").isdigit() and _is_decimal_comma(mantissa)
    ):
        mantissa = mantissa.replace(",", ".")
    digits = "".join(c for c in mantissa if c.isdigit() or c == ".")
    whole, point, decimals = digits.partition(".")
    value = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return Num(value, len(decimals) if point and not exponent else None)


def _is_decimal_comma(mantissa: str) -> bool:
    before, after = mantissa.split(",")
    return before.isdigit() and after.isdigit() and not (len(after) == 3 and len(before) <= 3)


def _negated(value: Node) -> Node:
    if isinstance(value, Num):
        return Num(-value.value, value.places)
    if isinstance(value, Percent):
        return Percent(_negated(value.value))
    return Mul((Num(Fraction(-1)), value))


def _product(left: Node, right: Node) -> Node:
    if isinstance(right, Percent):
        return Percent(_product(left, right.value))
    if isinstance(left, Mul):
        return Mul((*left.factors, right))
    return Mul((left, right))


def _primed(value: Node) -> Node:
    return Sym(f"{value.name}'") if isinstance(value, Sym) else Call("prime", (value,))


def _without_differential(body: Node) -> tuple[Node, str]:
    """Split ``f(x) d x`` into ``f(x)`` and ``x``."""
    if isinstance(body, Mul) and len(body.factors) >= 2:
        *rest, d, variable = body.factors
        if d == Sym("d") and isinstance(variable, Sym):
            inner: Node = Num(Fraction(1)) if not rest else rest[0] if len(rest) == 1 else Mul(tuple(rest))
            return inner, variable.name
    return body, ""
