"""Check the arithmetic that a chain of thought states; its reasoning and its unknowns are not judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from reasoner.outcomes import Outcome
from verifiers.math.arithmetic import Computed, agree, computed, may_agree
from verifiers.math.comparison import Scalars
from verifiers.math.judgement import Judgement
from verifiers.math.showing import number_text
from verifiers.math.sides import Side
from verifiers.math.statements import Statement, statements
from verifiers.math.units import unit_of

__all__ = ["MAX_QUICK_CHARS", "check_steps"]

MAX_QUICK_CHARS = 20_000  # a longer chain is read in a child, under its limit of CPU time
MAX_CHAIN_CHARS = 200_000  # as for answers: a chain of 50,000 tokens
MAX_STATEMENTS = 1_000
MAX_QUOTED = 20
MAX_QUOTE_CHARS = 160


@dataclass(frozen=True, slots=True)
class _False:
    """An equality that doesn't hold."""

    start: int
    end: int
    right_value: str


def check_steps(text: str, scalars: Scalars) -> Judgement:
    """Return whether the equalities stated in ``text`` hold: one that doesn't refutes it, none at all abstains.

    Args:
        text: A chain of thought; hostile.
        scalars: Who computes values.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    if len(text) > MAX_CHAIN_CHARS:
        return Judgement(
            Outcome.ABSTAINED, f"the chain is longer than {MAX_CHAIN_CHARS} characters", {"method": "none"}
        )
    counts: Counter[str] = Counter()
    false: list[_False] = []
    rounded: set[Fraction] = set()
    for statement in statements(text):
        if sum(counts.values()) >= MAX_STATEMENTS:
            counts["left unread"] += 1
            break
        said, wrong = _checked(statement, scalars, rounded)
        counts[said] += 1
        if wrong is not None and not any(wrong.start == one.start for one in false):
            false.append(wrong)
    return _judgement(text, counts, false, scalars)


def _checked(statement: Statement, scalars: Scalars, rounded: set[Fraction]) -> tuple[str, _False | None]:
    """Return what became of one statement: ``holds``, ``false``, ``doubtful``, ``unknowns`` or ``unread``."""
    left, right = statement.left, statement.right
    if left is None or right is None:
        return "unread", None
    if left.bare and (right.bare or left.beside == "word" or left.units):
        return "unread", None  # "Step 1 = ...", "3 apples = $6", "1 hour = 60 minutes" are no arithmetic
    sides = computed(left, scalars), computed(right, scalars)
    for side in sides:
        if isinstance(side, str):
            return side, None
    one, other = sides
    assert isinstance(one, Computed) and isinstance(other, Computed)  # noqa: S101, PT018 - strings returned above
    if agree(one, other, about=statement.about):
        if one.value != other.value:
            rounded.update(side.value for side in (one, other) if side.step)
        return "holds", None
    if statement.then and agree(one, Computed.of(Fraction(statement.then)), about=False):
        return "holds", None  # 3 + 4 = 7 * 2 = 14: sloppy, but each step of it is right
    unclear = statement.hedged or not (left.sure and right.sure) or _units_differ(left, right)
    if unclear or may_agree(one, other, rounded=rounded):
        return "doubtful", None
    value = one if right.bare or not left.bare else other
    return "false", _False(left.start, right.end, number_text(value.value, exact=value.exact))


def _units_differ(left: Side, right: Side) -> bool:
    """Tell whether units of one kind but of several sizes stand in an equality: hours and minutes."""
    sizes: dict[str, set[Fraction]] = {}
    for phrase in (*left.units, *right.units):
        words = phrase.split()
        unit = unit_of("dollar" if phrase.endswith("$") else words[0] if words else "")
        if not unit.kind.startswith("noun:"):
            sizes.setdefault(unit.kind.replace("year", "time"), set()).add(unit.factor)
    return any(len(factors) > 1 for factors in sizes.values())


def _judgement(text: str, counts: Counter[str], false: list[_False], scalars: Scalars) -> Judgement:
    quotes = [_quote(text, one) for one in false[:MAX_QUOTED]]
    n_held, n_skipped = counts["holds"], sum(counts.values()) - counts["holds"] - counts["false"]
    evidence: dict[str, Any] = {
        "method": scalars.method, "held": n_held, "false": quotes, "n_false": len(false),
        "skipped": {what: counts[what] for what in ("unknowns", "doubtful", "unread") if counts[what]},
    }  # fmt: skip
    if false:
        first = quotes[0]
        reason = (
            f"{first['quote']!r} in line {first['line']} is false: the right value is {first['right_value']}"
        )
        return Judgement(Outcome.REFUTED, reason[:500], evidence)
    if counts["left unread"]:
        reason = f"it states more than {MAX_STATEMENTS} equalities; those read are not false"
        return Judgement(Outcome.ABSTAINED, reason, evidence)
    if not n_held:
        return Judgement(Outcome.ABSTAINED, "it states no equality that can be checked", evidence)
    reason = f"every equality that could be checked holds: {n_held}; skipped: {n_skipped}"
    return Judgement(Outcome.CONFIRMED, reason, evidence)


def _quote(text: str, one: _False) -> dict[str, Any]:
    return {
        "quote": text[one.start : one.end][:MAX_QUOTE_CHARS],
        "at": one.start,
        "line": text.count("\n", 0, one.start) + 1,
        "right_value": one.right_value,
    }
