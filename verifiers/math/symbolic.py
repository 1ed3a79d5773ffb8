"""Compare values with SymPy; runs in a killable child only, on trees of ours, never on text."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from verifiers.math.rational import (
    NeedsAlgebraError,
    NoValueError,
    UndefinedError,
    based_value,
    decimals_alike,
    exact_value,
)
from verifiers.math.tree import (
    Add,
    Based,
    Big,
    Call,
    Const,
    Degrees,
    Div,
    Mul,
    Node,
    Num,
    Percent,
    Pow,
    Quantity,
    Sym,
)  # fmt: skip

__all__ = ["AlgebraScalars"]

MAX_POWER_BITS = 200_000
MAX_FACTORIAL = 5_000
MAX_SUM_TERMS = 500
DIGITS = 60
_TINY = sympy.Rational(1, 10**45)
_POINTS = 12
_FUNCTIONS = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "arccot": sympy.acot, "sinh": sympy.sinh,
    "cosh": sympy.cosh, "tanh": sympy.tanh, "ln": sympy.log, "log": sympy.log, "exp": sympy.exp, "sqrt": sympy.sqrt,
    "abs": sympy.Abs, "floor": sympy.floor, "ceil": sympy.ceiling, "min": sympy.Min,
    "max": sympy.Max, "arg": sympy.arg, "Re": sympy.re, "Im": sympy.im,
}  # fmt: skip
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}


class AlgebraScalars:
    """Compares values and expressions: exactly where it can, else at many digits and many points."""

    def __init__(self) -> None:
        self.method = "symbolic"

    def equal(self, left: Node, right: Node) -> bool | None:
        """Tell whether two values are equal; ``None`` when it can't be told.

        Raises:
            NoValueError: One of them has no value or is too large.
        """
        try:
            a, b = exact_value(left), exact_value(right)
        except NeedsAlgebraError:
            pass
        else:
            return True if a == b else decimals_alike(left, a, right, b)
        x, y = converted(left), converted(right)
        if x == y or x.as_dummy() == y.as_dummy():
            return True
        x, y = _without_unknown_functions(x, y)
        if x.has(sympy.Sum, sympy.Product, sympy.Integral) or y.has(sympy.Sum, sympy.Product, sympy.Integral):
            return True if sympy.expand(x.as_dummy() - y.as_dummy()) == 0 else None
        if x.free_symbols | y.free_symbols:
            return self._equal_at_points(x, y)
        return self._equal_numbers(left, x, right, y)

    def _equal_numbers(self, left: Node, x: sympy.Expr, right: Node, y: sympy.Expr) -> bool | None:
        a, b = _digits(x), _digits(y)
        if a is None or b is None:
            return None
        if abs(a - b) <= _TINY * max(abs(a), abs(b)):
            return self._proven(x - y)
        if a.is_real and b.is_real:
            return decimals_alike(left, _fraction(a), right, _fraction(b))
        return False

    def _proven(self, difference: sympy.Expr) -> bool | None:
        """A difference that vanishes to 45 digits: prove it, or look at five hundred."""
        if sympy.expand(difference) == 0:
            return True
        self.method = "numeric"
        closer = difference.evalf(20, maxn=500)
        return (
            bool(abs(closer) < sympy.Rational(1, 10**400)) if closer.is_number and closer.is_finite else None
        )

    def _equal_at_points(self, x: sympy.Expr, y: sympy.Expr) -> bool | None:
        names = sorted(x.free_symbols | y.free_symbols, key=lambda s: s.name)
        agreed, partly = 0, False
        for point in range(_POINTS):
            at = {name: _coordinate(point, n) for n, name in enumerate(names)}
            a, b = _digits(x, at), _digits(y, at)
            if a is None and b is None:
                continue
            if a is None or b is None:
                partly = True
                continue
            if abs(a - b) <= _TINY * max(abs(a), abs(b)):
                agreed += 1
            elif a.is_real and b.is_real:
                return False
            else:
                partly = True
        if agreed < 4:
            return None
        if partly:
            return None
        self.method = "symbolic" if _vanishes(x - y) else "numeric"
        return True

    def order(self, left: Node, right: Node) -> int | None:
        """Return -1, 0 or 1 as ``left`` is below, at or above ``right``; ``None`` when they have no order."""
        try:
            a, b = exact_value(left), exact_value(right)
            return (a > b) - (a < b)
        except NeedsAlgebraError:
            pass
        x, y = converted(left), converted(right)
        if x.free_symbols or y.free_symbols:
            return 0 if x == y else None
        c, d = _digits(x), _digits(y)
        if c is None or d is None or not (c.is_real and d.is_real):
            return None
        if abs(c - d) <= _TINY * max(abs(c), abs(d)):
            return 0
        return 1 if c > d else -1

    def rational(self, node: Node) -> Fraction | None:
        """Return the exact value; ``None`` when it isn't known to be rational.

        Raises:
            NoValueError: It has none, or one that is too large.
        """
        try:
            return exact_value(node)
        except NeedsAlgebraError:
            pass
        value = converted(node)
        if not value.is_Rational and value.is_number and value.count_ops() < 200:
            value = sympy.radsimp(sympy.expand(value))
        return Fraction(int(value.p), int(value.q)) if value.is_Rational else None

    def is_a(self, node: Node, kind: str) -> bool | None:
        """Tell whether a value is ``integer``, ``rational`` or ``real``; ``None`` when it can't be told.

        Raises:
            NoValueError: It has none, or one that is too large.
        """
        exact = self.rational(node)
        if exact is not None:
            return kind != "integer" or exact.denominator == 1
        value = converted(node)
        known: bool | None = getattr(value, f"is_{kind}")
        if known is not None or value.free_symbols:
            return known
        digits = _digits(value)
        if digits is None or kind == "rational":
            return None
        if not digits.is_real or kind == "real":
            return bool(digits.is_real)
        return None if abs(digits - round(digits)) <= _TINY * max(1, abs(digits)) else False

    def number(self, node: Node) -> Fraction | None:
        """Return the value, exactly or to some fifty digits; ``None`` when it isn't a real number.

        Raises:
            NoValueError: It has none, or one that is too large.
        """
        try:
            return exact_value(node)
        except NeedsAlgebraError:
            pass
        value = converted(node)
        if value.free_symbols or value.has(AppliedUndef):
            return None
        digits = _digits(value)
        return _fraction(digits) if digits is not None and digits.is_real else None

    def proportional(self, left: Node, right: Node, *, positive: bool) -> bool | None:
        """Tell whether ``left`` is a constant multiple of ``right``, as two equations ``... = 0`` must be.

        Raises:
            NoValueError: One of them has no value or is too large.
        """
        x, y = _without_unknown_functions(converted(left), converted(right))
        if x.free_symbols != y.free_symbols or not x.free_symbols:
            return False if x.free_symbols else None
        same = self._constant_ratio(x, y, positive=positive)
        if same is False and not positive:
            above = [sympy.numer(sympy.together(e)) for e in (x, y)]
            if not all(e.is_polynomial() for e in above):
                return None
            return self._constant_ratio(*above, positive=positive)
        return same

    def _constant_ratio(self, x: sympy.Expr, y: sympy.Expr, *, positive: bool) -> bool | None:
        names = sorted(x.free_symbols | y.free_symbols, key=lambda s: s.name)
        ratios = []
        for point in range(_POINTS):
            at = {name: _coordinate(point, n) for n, name in enumerate(names)}
            a, b = _digits(x, at), _digits(y, at)
            if a is not None and b is not None and b != 0:
                ratios.append(a / b)
        if len(ratios) < 4:
            return None
        first = ratios[0]
        if any(abs(r - first) > _TINY * abs(first) for r in ratios) or first == 0:
            return False
        return not positive or bool(first.is_real and first > 0)


def converted(node: Node) -> sympy.Expr:  # noqa: C901, PLR0911, PLR0912 - one line per kind of node
    """Return ``node`` as a SymPy expression, refusing what would be large before it is built.

    Raises:
        NoValueError: It has no value, or one that is too large.
    """
    match node:
        case Num(value):
            return sympy.Rational(value.numerator, value.denominator)
        case Sym(name):
            return sympy.Symbol(name)
        case Const(name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case Add(terms):
            return sympy.Add(*[converted(t) for t in terms])
        case Mul(factors):
            return sympy.Mul(*[converted(f) for f in factors])
        case Div(above, below):
            return _quotient(converted(above), converted(below))
        case Pow(base, exponent):
            return _power(converted(base), converted(exponent))
        case Percent(value):
            return converted(value) / 100
        case Degrees(value):
            return converted(value) * sympy.pi / 180
        case Quantity(value, _):
            return converted(value)
        case Based(digits, base):
            return sympy.Integer(based_value(digits, base))
        case Call(name, args):
            return _call(name, [converted(a) for a in args])
        case Big():
            return _big(node)
        case _:
            raise NoValueError("one side is not a value")


def _quotient(above: sympy.Expr, below: sympy.Expr) -> sympy.Expr:
    if below == 0:
        raise UndefinedError("it divides by zero")
    return above / below


def _power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
    if base == 0 and exponent.is_number and (exponent == 0 or exponent.is_negative):
        raise NoValueError("nought to that power has no value")
    if exponent.is_Rational and abs(exponent) > MAX_POWER_BITS:
        raise NoValueError("a power is too large to compute")
    if base.is_Rational and exponent.is_Rational:
        bits = max(int(base.p).bit_length(), int(base.q).bit_length()) * abs(exponent)
        if bits > MAX_POWER_BITS or (
            max(int(base.p).bit_length(), int(base.q).bit_length()) > 4_000 and exponent.q > 1
        ):
            raise NoValueError("a power is too large to compute")
    elif base.is_Add and exponent.is_Integer and abs(exponent) > 1_000:
        raise NoValueError("a power is too large to compute")
    return base**exponent


def _call(name: str, args: list[Any]) -> sympy.Expr:
    if name in ("factorial", "binomial"):
        if any(a.is_number and (abs(a) > MAX_FACTORIAL) == True for a in args):  # noqa: E712 - may be undecided
            raise NoValueError(f"a {name} of more than {MAX_FACTORIAL} is too large to compute")
        if name == "binomial":
            return sympy.binomial(*args)
        return sympy.gamma(args[0] + 1) if args[0].free_symbols else sympy.factorial(*args)
    if name in ("root", "cbrt"):
        return _root(args[0], sympy.Integer(3) if name == "cbrt" else args[1])
    if name in ("gcd", "lcm"):
        return _divisor_or_multiple(name, args)
    if name in _FUNCTIONS:
        try:
            return _FUNCTIONS[name](*args)
        except (TypeError, ValueError) as error:
            raise NoValueError(f"{name} of that has no value") from error
    return sympy.Function(name)(*args)


def _root(value: sympy.Expr, index: sympy.Expr) -> sympy.Expr:
    """The real root where there is one: the third root of -8 is -2, as schools have it."""
    if value.is_negative and index.is_Integer and index.is_odd:
        return -_power(-value, _quotient(sympy.Integer(1), index))
    return _power(value, _quotient(sympy.Integer(1), index))


def _divisor_or_multiple(name: str, args: list[Any]) -> sympy.Expr:
    if all(a.is_Integer for a in args):
        return sympy.Integer((math.gcd if name == "gcd" else math.lcm)(*(int(a) for a in args)))
    if any(a.is_number for a in args):
        raise NoValueError(f"{name} is of integers")
    return sympy.Function(name)(*args)


def _big(node: Big) -> sympy.Expr:
    bound = sympy.Symbol(node.variable)
    body = converted(node.body)
    if node.variable == "i":
        body = body.subs(sympy.I, bound)
    low = None if node.low is None else converted(node.low)
    high = None if node.high is None else converted(node.high)
    if low is None or high is None:
        if node.kind == "int":
            return sympy.Integral(body, bound)
        raise NoValueError(f"a {node.kind} without bounds has no value")
    kind = {"sum": sympy.Sum, "prod": sympy.Product, "int": sympy.Integral}[node.kind]
    whole = kind(body, (bound, low, high))
    if node.kind != "int" and low.is_Integer and high.is_Integer:
        if high - low > MAX_SUM_TERMS:
            raise NoValueError(f"a {node.kind} of more than {MAX_SUM_TERMS} terms is too long")
        return whole.doit()
    return whole


def _digits(expression: sympy.Expr, at: dict[Any, Any] | None = None) -> sympy.Expr | None:
    """Return the value to ``DIGITS`` digits, or ``None`` when it isn't a finite number."""
    value = (
        expression.evalf(DIGITS, subs=at, maxn=4 * DIGITS)
        if at
        else expression.evalf(DIGITS, maxn=4 * DIGITS)
    )
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return None
    real, imaginary = value.as_real_imag()
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    real, imaginary = (sympy.S.Zero if _is_noise(part) else part for part in (real, imaginary))
    return real if abs(imaginary) <= _TINY * abs(real) else real + sympy.I * imaginary


def _is_noise(part: sympy.Expr) -> bool:
    """Tell whether everything cancelled: SymPy marks such a number by a precision of one bit."""
    return bool(part.is_Float and part._prec == 1)  # noqa: SLF001 - it has no public name


def _fraction(value: sympy.Expr) -> Fraction:
    exact = sympy.Rational(value)
    return Fraction(int(exact.p), int(exact.q))


def _coordinate(point: int, axis: int) -> sympy.Expr:
    """Return a rational coordinate; points lie in all quadrants, at values no formula is special at."""
    size = sympy.Rational(1009 + 499 * point + 1307 * axis, 1511)
    return -size if (point >> (axis % 3)) & 1 else size


def _vanishes(difference: sympy.Expr) -> bool:
    return bool(difference.count_ops() < 200 and sympy.expand(difference) == 0)


def _without_unknown_functions(x: sympy.Expr, y: sympy.Expr) -> tuple[Any, Any]:
    """Replace ``f(2)`` by a variable, the same on both sides."""
    unknown = sorted(x.atoms(AppliedUndef) | y.atoms(AppliedUndef), key=str)
    renamed = {f: sympy.Symbol(f"unknown {n}") for n, f in enumerate(unknown)}
    return x.xreplace(renamed), y.xreplace(renamed)
