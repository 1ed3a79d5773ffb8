"""Decide whether two texts give the same answer: extract, read, compare; no processes and no SymPy in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from reasoner.outcomes import Outcome
from verifiers.claims import Collection
from verifiers.math.comparison import Comparison, Scalars
from verifiers.math.extraction import MAX_ANSWER_CHARS, bare_answer, extract_answer, has_cue
from verifiers.math.judgement import Judgement
from verifiers.math.meaning import meaning
from verifiers.math.normal import normal_form
from verifiers.math.rational import NoValueError
from verifiers.math.readings import Reading, readings
from verifiers.math.rendering import rendered
from verifiers.math.rules import RULES
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Call, Quantity, Sym

__all__ = ["decide", "found_answer"]

MAX_CLAIM_CHARS = 1_000_000  # per side; identical texts are confirmed at any length
MAX_SHOWN_CHARS = 200
MAX_UNMARKED_WORDS = 40  # a longer text without any formula, number or "the answer is" holds no answer
# "$ 9 $" with a line's end in it: most renderers don't take that for a formula, so it may not be one.
_BROKEN_MATH = re.compile(r"\\\([^\\\n]{0,500}\n|(?<![\\$])\$(?!\$)[^$\n]{0,500}\n[^$]{0,500}(?<!\$)\$(?!\$)")
_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}\s")
_COUNTED = re.compile(r"[-+$€£\d.(\\][^\n]{0,60}?(?:\s[A-Za-z]{2,20}){0,4}[.]?")  # "5 red apples"


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two texts."""

    found: str
    """The answer in it; empty when there is none."""

    meanings: list[Reading]
    """What it may mean, likeliest first; empty when it can't be read."""

    problem: str | None = None
    """Why it can't be read."""


def decide(gold: str, answer: str, scalars: Scalars, *, collection: Collection = "set") -> Judgement:
    """Return whether two texts give the same answer.

    Args:
        gold: A bare answer or a text that contains one; hostile, like the other.
        answer: The same; which one is the gold makes no difference.
        scalars: Who compares single values.
        collection: Whether repetitions count in a list of values, and their order.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    if gold.strip() and gold.strip() == answer.strip():
        return _judgement(
            Outcome.CONFIRMED, "the texts are identical", "exact text", gold.strip(), answer.strip()
        )
    if max(len(gold), len(answer)) > MAX_CLAIM_CHARS:
        return _judgement(Outcome.ABSTAINED, f"a text is longer than {MAX_CLAIM_CHARS} characters", "none")
    one, other = _side(gold), _side(answer)
    if one.found and normal_form(one.found) == normal_form(other.found):
        return _judgement(
            Outcome.CONFIRMED, "the answers are written alike", "exact text", one.found, other.found
        )
    problems = [
        f"cannot read the {name}: {s.problem}" for name, s in (("gold", one), ("answer", other)) if s.problem
    ]
    if problems:
        return _judgement(Outcome.ABSTAINED, "; ".join(problems), "none", one.found, other.found)
    return _compared(one, other, scalars, collection)


def _side(text: str) -> _Side:
    found = ""
    try:
        found = found_answer(text)
        return _Side(found, readings(found))
    except CannotReadError as error:
        return _Side(found, [], str(error))


def _compared(gold: _Side, answer: _Side, scalars: Scalars, collection: Collection) -> Judgement:
    """Compare every reading of one side with every reading of the other: one agreement confirms."""
    doubts: list[str] = []
    outcome, reason = Outcome.REFUTED, "both were understood and differ"
    for one, other in product(gold.meanings, answer.meanings):
        same, why = _agreement(one, other, scalars, collection)
        if same:
            outcome, reason = Outcome.CONFIRMED, "both mean the same"
            break
        doubts += why if same is None else []
    if doubts and outcome is not Outcome.CONFIRMED:
        outcome, reason = Outcome.ABSTAINED, "; ".join(dict.fromkeys(doubts))
    judgement = _judgement(outcome, reason, scalars.method, gold.found, answer.found)
    for name, side in (("gold_read_as", gold), ("answer_read_as", answer)):
        judgement.evidence[name] = rendered(meaning(side.meanings[0].tree))[:MAX_SHOWN_CHARS]
    return judgement


def _agreement(
    one: Reading, other: Reading, scalars: Scalars, collection: Collection
) -> tuple[bool | None, list[str]]:
    """Return whether two readings mean the same, and what makes that doubtful."""
    if _same_function(one, other):
        return True, []
    comparison = Comparison(scalars, RULES, collection=collection)
    try:
        same = comparison.same(meaning(one.tree), meaning(other.tree))
    except NoValueError as error:
        return None, [str(error)]
    certain = one.sure or isinstance(other.tree, Quantity), other.sure or isinstance(one.tree, Quantity)
    if same and not all(certain):
        return None, ["they agree only if a letter behind a number is a unit"]
    return same, comparison.doubts or ["it cannot be told whether they are the same"]


def _same_function(one: Reading, other: Reading) -> bool:
    """``f(x)`` and ``f(y)``, alone, name the same function."""
    match one.tree, other.tree:
        case Call(name, (Sym(),)), Call(other_name, (Sym(),)):
            return name == other_name and name.endswith("()")
        case _:
            return False


def found_answer(text: str) -> str:
    """Return the answer in ``text``, a bare one or one that a text ends with.

    Raises:
        CannotReadError: There is none.
    """
    stripped = text.strip()
    if not stripped:
        raise CannotReadError("it is empty")
    plain = re.sub(r"\\+(?=boxed|fbox)", r"\\", stripped)
    if not has_cue(plain):
        bare = bare_answer(plain)
        if bare is not None:
            return bare
        _check_unmarked(plain)
        if _COUNTED.fullmatch(plain) and _is_readable(plain):
            return plain
    found = extract_answer(plain)
    if found is None and len(plain.split()) > MAX_UNMARKED_WORDS:
        raise CannotReadError("it holds no answer")
    if found is not None and len(found) >= MAX_ANSWER_CHARS:
        raise CannotReadError(f"its answer is longer than {MAX_ANSWER_CHARS} characters")
    return plain if found is None else found


def _check_unmarked(text: str) -> None:
    """Refuse a text that doesn't say where its answer is and is no prose either, or has a broken formula."""
    if len(text) > MAX_ANSWER_CHARS and not _PROSE.search(text):
        raise CannotReadError(f"it is longer than {MAX_ANSWER_CHARS} characters and no prose")
    if "$$" not in text and "\\[" not in text and _BROKEN_MATH.search(text[-MAX_ANSWER_CHARS:]):
        raise CannotReadError("a formula within a line is broken over lines")


def _is_readable(text: str) -> bool:
    try:
        readings(text)
    except CannotReadError:
        return False
    return True


def _judgement(outcome: Outcome, reason: str, method: str, gold: str = "", answer: str = "") -> Judgement:
    evidence = {"method": method, "gold": gold[:MAX_SHOWN_CHARS], "answer": answer[:MAX_SHOWN_CHARS]}
    return Judgement(outcome, reason[:500], evidence)
