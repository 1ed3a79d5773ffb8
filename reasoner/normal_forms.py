"""Normal forms of answers: what is the same answer before anything is asked."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

_SPACES = re.compile(r"\s+")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?")
MAX_DIGITS = 64
"""A longer number keeps its text: an answer of a megabyte of digits must cost nothing."""


def stripped(answer: str) -> str:
    """Return the answer without surrounding white space: right for programs, whose text matters."""
    return answer.strip()


def normal_text(answer: str) -> str:
    """Return words without case, Unicode variants, repeated spaces or a final full stop."""
    folded = unicodedata.normalize("NFKC", answer).casefold()
    return _SPACES.sub(" ", folded).strip().removesuffix(".").rstrip()


def normal_number(answer: str) -> str:
    """Return a plain decimal number without signs of style (``$1,200.0`` is ``1200``), else the normal text.

    Only what is certain: one number with an optional dollar or per cent sign. ``50%`` stays ``50%``.
    """
    text = normal_text(answer)
    percent = "%" if text.endswith("%") else ""
    bare = text.removesuffix("%").replace("$", "", 1).replace(" ", "").replace("\N{MINUS SIGN}", "-")
    if not bare or len(bare) > MAX_DIGITS or not _NUMBER.fullmatch(bare):
        return text
    try:
        value = Decimal(bare.replace(",", ""))
    except InvalidOperation:  # a lone sign
        return text
    plain = format(value.normalize(), "f")
    return ("0" if value == 0 else plain) + percent
