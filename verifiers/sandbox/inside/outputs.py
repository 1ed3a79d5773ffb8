"""Whether a program printed what it should have: the same words and numbers, white space and last digits forgiven.

- The ends of lines are: carriage returns, trailing blanks and trailing empty lines never count.
- Other white space counts only where the expected output itself is laid out with it (a line that is indented, columns
  that are padded), as in drawings; else a run of blanks is one blank.
- A number that is expected with a fraction or an exponent may differ by 1e-6, absolutely or relatively, and be written
  otherwise. An expected integer is exact: ``4`` is not ``4.0000001``.
"""

from __future__ import annotations

import math
import re

TOLERANCE = 1e-6
MAX_SHOWN = 120  # characters of an output in a reason
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_MAX_NUMBER = 400  # characters; the program must not make the comparison slow
_LAID_OUT = re.compile(r"^[ \t]|[ \t]{2}|\t", re.MULTILINE)
_BLANKS = re.compile(r"([ \t]+)")


def difference(expected: str, printed: str) -> str | None:
    """Return how ``printed`` differs from what was expected, or None when it does not."""
    wanted, got = _lines(expected), _lines(printed)
    laid_out = any(_LAID_OUT.search(line) for line in wanted)
    for number, (one, other) in enumerate(zip(wanted, got, strict=False), 1):
        if not _same_line(one, other, laid_out=laid_out):
            where = f"line {number}: " if len(wanted) > 1 else ""
            return f"{where}printed {_shown(other)}, expected {_shown(one)}"
    if len(wanted) != len(got):
        more = got[len(wanted) :] or wanted[len(got) :]
        return (
            f"printed {len(got)} lines, expected {len(wanted)}; the first that differs is {_shown(more[0])}"
        )
    return None


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(wanted: str, got: str, *, laid_out: bool) -> bool:
    if wanted == got:
        return True
    ones, others = (_BLANKS.split(line) if laid_out else line.split() for line in (wanted, got))
    return len(ones) == len(others) and all(map(_same_word, ones, others))


def _same_word(wanted: str, got: str) -> bool:
    if wanted == got:
        return True
    if len(got) > _MAX_NUMBER or not (_NUMBER.match(wanted) and _NUMBER.match(got)):
        return False
    if wanted.lstrip("+-").isdigit():
        return False
    return math.isclose(float(wanted), float(got), rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _shown(line: str) -> str:
    return repr(line) if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]!r}... ({len(line)} characters)"
