"""Units of measurement and money: which are the same kind, and how one converts into another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["MULTIPLIERS", "UNITS", "Unit", "unit_of"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, as a multiple of the base unit of its kind."""

    kind: str
    """Dimensions, e.g. ``length``, ``length^2``, ``length/time``; or ``noun:`` and a word that is only counted."""

    factor: Fraction


def _table() -> dict[str, tuple[str, Fraction]]:
    rows = {
        "length": "m meter meters metre metres=1; cm centimeter centimeters centimetre centimetres=1/100; "
        "mm millimeter millimeters millimetre=1/1000; km kilometer kilometers kilometre kilometres=1000; "
        "inch inches=127/5000; ft foot feet=381/1250; yd yard yards=1143/1250; mi mile miles=201168/125",
        "time": "s sec secs second seconds=1; min mins minute minutes=60; h hr hrs hour hours=3600; day days=86400; "
        "week weeks=604800; ms millisecond milliseconds=1/1000",
        "year": "year years yr yrs=1; month months=1/12",
        "mass": "g gram grams=1; kg kilogram kilograms=1000; mg milligram milligrams=1/1000; ton tons tonne=1000000",
        "weight": "lb lbs pound pounds=16; oz ounce ounces=1",
        "volume": "l liter liters litre litres=1; ml milliliter milliliters=1/1000",
        "money": "dollar dollars usd ¤=1; cent cents=1/100",
        "euro": "euro euros eur €=1",
        "sterling": "gbp £=1",
        "yen": "yen ¥=1",
        "yuan": "yuan rmb=1",
        "rupee": "rupee rupees=1",
        "speed": "mph=1397/3125; kph=5/18",
        "celsius": "celsius=1",
        "fahrenheit": "fahrenheit=1",
        "radian": "rad rads radian radians=1",
        "plain": "unit units=1",
        "ordinal": "th st nd rd=1",
    }
    table = {}
    for kind, text in rows.items():
        for group in text.split(";"):
            names, factor = group.split("=")
            for name in names.split():
                table[name] = (kind, Fraction(factor.strip()))
    return table


UNITS = _table()
MULTIPLIERS = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12,
}  # fmt: skip
_PART = re.compile(
    r"(square|sq\.?|cubic|cu\.?)?\s?([a-zа-я¤€£¥]+)\.?\s?(?:\^?\s?\(?([23])\)?|(squared|cubed))?"
)


def unit_of(text: str) -> Unit:
    """Return the unit a phrase names; a phrase that names none is a noun that is counted ("apples")."""
    phrase = re.sub(r"\s+", " ", text.lower().strip(" .")).replace("\\", "")
    kinds: list[str] = []
    factor = Fraction(1)
    for n, part in enumerate(re.split(r"\s?/\s?| per ", phrase)):
        match = _PART.fullmatch(part.strip())
        if match is None or match[2] not in UNITS:
            return Unit(f"noun:{phrase}", Fraction(1))
        kind, size = UNITS[match[2]]
        power = int(
            match[3]
            or {"square": 2, "sq": 2, "cubi": 3, "cu": 3}.get((match[1] or match[4] or "")[:4].rstrip("."), 1)
        )
        if (match[1] or match[4] or "").startswith(("squa", "sq")):
            power = 2
        elif (match[1] or match[4] or "").startswith(("cub", "cu")):
            power = 3
        if kind == "length" and power == 3:
            kind, size, power = "volume", size**3 * 1000, 1
        kinds.append(kind if power == 1 else f"{kind}^{power}")
        factor = factor * size**power if n == 0 else factor / size**power
    if kinds == ["speed"]:
        kinds = ["length", "time"]
    return Unit("/".join(kinds), factor)
