r"""Parse the atoms of an expression: numbers, variables, functions, groups, matrices, sums over an index.

Written by hand, as precedence climbing, and not as a Lark grammar: in LaTeX a bar opens or closes according to what
stands before it, products have no sign, ``1\frac12`` is a sum, function arguments need no brackets and end where the
next function starts, and a comma separates or groups digits. An LALR grammar of that is a heap of conflicts, and an
Earley parser takes cubic time on hostile text. Every loop here consumes a token and the nesting is counted, so the
work is linear in the tokens and the stack is bounded.
"""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.numerals import number
from verifiers.math.operators import OperatorParser, negated
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Based, Big, Call, Const, Div, Matrix, Mul, Node, Num, Pow, Sym, Text, Tuple
from verifiers.math.vocabulary import ACCENTS, BINOMIALS, FRACTIONS, FUNCTIONS, GREEK, NUMBER_WORDS

__all__ = ["ExpressionParser"]

MAX_ENTRIES = 100  # of a matrix

_NAMED_SETS = {"R": "reals", "Z": "integers", "N": "naturals", "Q": "rationals", "C": "complexes"}
_MATRICES = frozenset(("pmatrix", "bmatrix", "matrix", "smallmatrix", "array", "Bmatrix"))
_FUNCTION_LETTERS = frozenset("fghFGHPQWT")
_INVERTIBLE = frozenset(("sin", "cos", "tan", "cot"))


class ExpressionParser(OperatorParser):
    """Adds the atoms to the operators."""

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
        if name in _FUNCTION_LETTERS and self.at("(") and not self.peek().spaced:
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
            self.skip(3)
            base: int | Fraction = NUMBER_WORDS.get(word, 0)
        else:
            index = self.argument(digits=False)
            base = index.value if isinstance(index, Num) else 0
        if base not in range(2, 37):
            raise CannotReadError("the base of a numeral is not a number from 2 to 36")
        return Based(digits.lstrip("0") or "0", int(base))

    def _command(self) -> Node:  # noqa: PLR0911 - one line per kind of command
        name = self.take().text
        if name in FRACTIONS:
            above = self.nested(lambda: self.argument(digits=True))
            return Div(above, self.nested(lambda: self.argument(digits=True)))
        if name in BINOMIALS:
            above = self.nested(lambda: self.argument(digits=True))
            return Call("binomial", (above, self.nested(lambda: self.argument(digits=True))))
        if name in FUNCTIONS:
            return self._function(name)
        if name in GREEK:
            return self._subscripted(name) if self.at("_") else Sym(name)
        if name in ACCENTS:
            return self._accented(name)
        if name in ("lfloor", "lceil", "lvert"):
            return self._enclosed(name)
        if name in ("lbrace", "langle", "lbrack"):
            self.skip(-1)
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
        self.skip(-1)
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
        if name == "lg":
            name, args = "log", (*args, Num(Fraction(10)))
        call = Call(name, args)
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
            return negated(self._bare_argument(name))
        value = self.factor()
        while self.starts_atom() and not self.at(*FUNCTIONS, "(", "["):
            value = self.juxtaposed(value)
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
        if name not in _MATRICES:
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


def _without_differential(body: Node) -> tuple[Node, str]:
    """Split ``f(x) d x`` into ``f(x)`` and ``x``."""
    if isinstance(body, Mul) and len(body.factors) >= 2:
        *rest, d, variable = body.factors
        if d == Sym("d") and isinstance(variable, Sym):
            inner: Node = Num(Fraction(1)) if not rest else rest[0] if len(rest) == 1 else Mul(tuple(rest))
            return inner, variable.name
    return body, ""
