r"""Bring an answer into a plain form, so that answers that are certainly the same are equal texts.

Cheap and cautious: nothing is computed, and what might change the meaning (a unit, a per cent sign, the order of a
list, letter case inside formulas) stays. Two different normal forms may still be the same answer; ask the verifier.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["MAX_NORMAL_CHARS", "normal_form", "plain_characters"]

MAX_NORMAL_CHARS = 2_000  # longer texts are compared as they are

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPT_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋ₙ]+")
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "＋": "+",
    "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "∗": "*", "÷": "/", "⁄": "/", "∕": "/",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "≡": r"\equiv ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ", "∤": r"\nmid ",
    "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ",
    "°": r"^{\circ}", "√": r"\sqrt ", "∛": r"\cbrt ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}",
    "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "∖": r"\setminus ", "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"',
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "∣": "|", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "→": r"\to ", "\u200b": "", "\u200c": "", "\u200d": "",
    "\u2060": "", "\ufeff": "", "\u00ad": "",
}  # fmt: skip
_GREEK = {c: f"\\{unicodedata.name(c).split()[-1].lower()} " for c in "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩ"}
_GREEK["λ"] = r"\lambda "
_GREEK["Λ"] = r"\Lambda "
_GREEK |= {c: name[0] + name[1].upper() + name[2:] for c, name in _GREEK.items() if c in "ΓΔΘΞΣΦΨΩ"}
_TRANSLATION = str.maketrans(_SIGNS | _GREEK)

_SPACING = re.compile(r"\\[,;:! ]|\\(?:q?quad|thinspace|displaystyle|limits)(?![a-zA-Z])|~|\{,\}|\s+")
_SIZING = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(r"\\frac\s?(\d)\s?(\d)")
_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mbox|mathrm|operatorname)\s?\{([^{}]*)\}")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:,|\\!|\\,|\{,\}|\s)+\d{3})+(?:\.\d+)?")
_NUMBER = re.compile(r"([-+]?)(\d*)(?:\.(\d*))?")


def plain_characters(text: str) -> str:
    """Return ``text`` with typographic signs (unicode minus, π, ½, ², full-width digits) written in ASCII or LaTeX."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT_RUN.sub(lambda m: "^{" + m[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda m: "_{" + m[0].translate(_SUBSCRIPTS) + "}", text)
    text = text.translate(_TRANSLATION)
    return text if text.isascii() else "".join(_plain_character(c) for c in text)


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character.isspace():
        return " "
    folded = unicodedata.normalize("NFKC", character)
    if "⁄" in folded:  # ½ is "1⁄2"
        above, _, below = folded.partition("⁄")
        return f"\\frac{{{above}}}{{{below}}}"
    return folded.translate(_TRANSLATION)


def normal_form(answer: str) -> str:
    r"""Return ``answer`` as plain text in which only certain synonyms are merged.

    White space, mathematics delimiters, ``\left``/``\right``, ``\dfrac``, ``\text``, a final full stop, the currency
    sign of a plain sum of money, thousands separators and needless zeros of a plain number go.

    >>> normal_form("$\\dfrac{1}{2}$.") == normal_form("\\frac12")
    True
    >>> normal_form("1,000.50")
    '1000.5'
    """
    text = answer.strip()
    if len(text) > MAX_NORMAL_CHARS:
        return text
    text = plain_characters(text).replace("\\$", "$").replace("\\%", "%").strip()
    text = re.sub(r"^\\(?:boxed|fbox)\s?\{([^{}]*)\}$", r"\1", _without_delimiters(text)).strip()
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    text = _without_delimiters(text)
    money = re.fullmatch(r"\$?\s?([-+]?)\s?\$?\s?([\d.,\\! ]+?)\s?\$?", text)
    if money is not None:
        text = money[1] + money[2]
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[^\d.+-]", "", text)
    text = _TEXT.sub(r" \1 ", text)
    text = _FRACTION.sub(r"\\frac", _SIZING.sub("", text))
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    return _plain_number(_squeeze(text))


def _without_delimiters(text: str) -> str:
    for left, right in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            inside = text[len(left) : -len(right)]
            if left not in inside and right not in inside and not inside.endswith("\\"):
                return inside.strip()
    return text


def _squeeze(text: str) -> str:
    """Drop white space, except between two words, which it keeps apart; words lose their case."""
    text = _SPACING.sub(" ", text).strip()
    if re.fullmatch(r"[A-Za-z][A-Za-z' -]+", text):
        return text if " " not in text and len(text) < 3 else text.lower()
    return re.sub(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])", "\0", text).replace(" ", "").replace("\0", " ")


def _plain_number(text: str) -> str:
    number = _NUMBER.fullmatch(text)
    if number is None or not (number[2] or number[3]):
        return text
    whole = number[2].lstrip("0") or "0"
    decimals = (number[3] or "").rstrip("0")
    sign = "-" if number[1] == "-" and (whole != "0" or decimals) else ""
    return sign + whole + ("." + decimals if decimals else "")
