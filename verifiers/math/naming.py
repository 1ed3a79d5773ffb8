"""Unknowns with names that are words: a code that reads as a variable stands for them while formulas are parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["Naming"]

_LETTER = re.compile(r"[A-Za-z]'?|\\[A-Za-z]+")
_SUBSCRIPTED = re.compile(r"([A-Za-z]|\\[A-Za-z]+)_\{?([A-Za-z0-9]{1,10})\}?")


class Naming:
    r"""Which code stands for which name; a letter (``x``, ``\\alpha``, ``a_1``) is its own."""

    def __init__(self, names: Sequence[str]) -> None:
        """Give each name its code.

        Args:
            names: As the conditions and the answer write them, in their order.
        """
        self._names: dict[str, str] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for n, given in enumerate(names):
            name = given.strip().strip("$").strip()
            code = _own_code(name)
            if code is None:
                code = f"v_{990000 + n}"  # a subscript nobody writes
                inside = re.escape(name).replace(r"\ ", r"\s+")
                wrapped = rf"\\(?:text|mathrm|textit|operatorname|mbox)\s?\{{\s?{inside}\s?\}}"
                pattern = rf"{wrapped}|(?<![A-Za-z_\\]){inside}(?![A-Za-z_])"
                self._patterns.append((re.compile(pattern), f" v_{{{990000 + n}}} "))
            self._names[code] = name
        # Longer names first: "red apples" before "apples".
        self._patterns.sort(key=lambda pair: -len(pair[0].pattern))

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the order of the names."""
        return tuple(self._names)

    def coded(self, text: str) -> str:
        """Return ``text`` with the code of each name in its place."""
        for pattern, code in self._patterns:
            text = pattern.sub(lambda _, code=code: code, text)  # type: ignore[misc]
        return text

    def decoded(self, text: str) -> str:
        """Return ``text`` with the names in their places again."""
        if not self._patterns:
            return text
        return re.sub(r"\s?v_\{?(99\d{4})\}?\s?", lambda m: self._names.get(f"v_{m[1]}", m[0]), text)


def _own_code(name: str) -> str | None:
    """Return what the grammar calls a variable of this name, or ``None`` when it can't be one."""
    if _LETTER.fullmatch(name):
        return name.lstrip("\\")
    subscripted = _SUBSCRIPTED.fullmatch(name)
    return f"{subscripted[1].lstrip(chr(92))}_{subscripted[2]}" if subscripted else None
