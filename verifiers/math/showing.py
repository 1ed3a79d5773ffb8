"""Write a value for the evidence: exactly where that is short, else its first digits."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

from verifiers.math.comparison import Scalars
from verifiers.math.meaning import meaning
from verifiers.math.rational import NoValueError
from verifiers.math.rendering import rendered
from verifiers.math.substitution import free_names
from verifiers.math.tree import Node

__all__ = ["number_text", "shown"]

MAX_SHOWN_CHARS = 80
_EXACT_DIGITS = 30
_TEN_DIGITS = Context(prec=10)


def shown(node: Node, scalars: Scalars) -> str:
    """Return the value of ``node`` in at most ``MAX_SHOWN_CHARS``.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    if not free_names(node):
        try:
            exact = scalars.rational(node)
            value = scalars.number(node) if exact is None else exact
        except NoValueError:
            value = None
        if value is not None:
            return number_text(value, exact=exact is not None)
    return rendered(meaning(node))[:MAX_SHOWN_CHARS]


def number_text(value: Fraction, *, exact: bool = True) -> str:
    """Return ``19500``, ``19/3`` or ``≈ 1.414213562``."""
    if exact and max(value.numerator.bit_length(), value.denominator.bit_length()) < 3 * _EXACT_DIGITS:
        as_decimal = _terminating(value)
        return as_decimal or str(value)
    digits = _TEN_DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
    return f"≈ {digits.normalize(_TEN_DIGITS)}"


def _terminating(value: Fraction) -> str | None:
    """Return a short decimal that is exactly the value: 0.25; integers as they are."""
    for places in range(7):
        if (value * 10**places).denominator == 1:
            return str(Decimal(int(value * 10**places)).scaleb(-places, Context(prec=60)))
    return None
