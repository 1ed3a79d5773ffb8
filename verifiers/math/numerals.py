"""What a number token is worth."""

from __future__ import annotations

from fractions import Fraction

from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Num

__all__ = ["MAX_EXPONENT", "number"]

MAX_EXPONENT = 2_000  # of a number in scientific notation


def number(text: str) -> Num:
    """Return the value of a number token.

    Raises:
        CannotReadError: Its exponent is out of bounds.
    """
    if text.endswith("}"):
        return _repeating(text)
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise CannotReadError(f"a power of ten above {MAX_EXPONENT} is too large")
    if mantissa.rfind(",") > mantissa.rfind(".") >= 0:
        mantissa = mantissa.replace(".", "").replace(",", ".")  # 1.234,5 as on the continent
    elif _is_decimal_comma(mantissa):
        mantissa = mantissa.replace(",", ".")
    digits = "".join(c for c in mantissa if c.isdigit() or c == ".")
    whole, point, decimals = digits.partition(".")
    value = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    return Num(value, len(decimals) if point and not exponent else None)


def _repeating(text: str) -> Num:
    r"""``0.1\overline{6}`` is 1/10 + 6/90."""
    fixed, _, cycle = text[:-1].partition("{")
    whole, _, decimals = fixed[: fixed.index("\\")].partition(".")
    scale = 10 ** len(decimals)
    start = Fraction(int((whole or "0") + decimals), scale)
    return Num(start + Fraction(int(cycle), (10 ** len(cycle) - 1) * scale))


def _is_decimal_comma(mantissa: str) -> bool:
    before, _, after = mantissa.partition(",")
    return before.isdigit() and after.isdigit() and not (len(after) == 3 and len(before) <= 3)
