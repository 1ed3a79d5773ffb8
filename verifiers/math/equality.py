"""Decide whether two texts give the same answer: extract, read, compare; no processes and no SymPy in here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reasoner.outcomes import Outcome
from verifiers.math.compare import Comparison, Scalars
from verifiers.math.extraction import MAX_ANSWER_CHARS, bare_answer, extract_answer, has_cue
from verifiers.math.grammar import Reading, readings
from verifiers.math.meaning import meaning
from verifiers.math.normal import normal_form
from verifiers.math.rational import NeedsAlgebraError, RationalScalars
from verifiers.math.tree import Quantity
from verifiers.math.tokens import CannotReadError

__all__ = ["Judgement", "decide", "decide_without_algebra"]

MAX_CLAIM_CHARS = 1_000_000  # per side; identical texts are confirmed at any length
MAX_SHOWN_CHARS = 200
_BROKEN_MATH = re.compile(
    r"\\\((?:(?!\\\)).){0,500}\n|(?<![\\$])\$(?!\$)[^$]{0,500}\n[^$]{0,500}(?<!\$)\$(?!\$)"
)

_PROSE = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{3,}\s")
_COUNTED = re.compile(r"[-+$€£\d.(\\][^\n]{0,60}?(?:\s[A-Za-z]{2,20}){0,4}[.]?")  # "5 red apples"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was concluded and why."""

    outcome: Outcome
    reason: str
    method: str
    gold: str = ""
    """The answer that was read from the gold text, shortened."""

    answer: str = ""


def decide_without_algebra(gold: str, answer: str) -> Judgement | None:
    """Return the judgement where text and plain arithmetic suffice, else ``None``."""
    if gold == answer and gold.strip():
        return _judgement(
            Outcome.CONFIRMED, "the texts are identical", "exact text", gold.strip(), answer.strip()
        )
    try:
        return decide(gold, answer, RationalScalars())
    except NeedsAlgebraError:
        return None


def decide(gold: str, answer: str, scalars: Scalars) -> Judgement:
    """Return whether two texts give the same answer.

    Args:
        gold: A bare answer or a text that contains one; hostile, like the other.
        answer: The same; which one is the gold makes no difference.
        scalars: Who compares single values.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    if max(len(gold), len(answer)) > MAX_CLAIM_CHARS:
        return _judgement(Outcome.ABSTAINED, f"a text is longer than {MAX_CLAIM_CHARS} characters", "none")
    texts: list[str] = []
    meanings: list[list[Reading]] = []
    problems: list[str] = []
    for side, text in (("gold", gold), ("answer", answer)):
        try:
            texts.append(_found(text))
            meanings.append(readings(texts[-1]))
        except CannotReadError as error:
            problems.append(f"cannot read the {side}: {error}")
            if len(texts) == len(problems) + len(meanings) - 1:
                texts.append("")
    forms = [normal_form(t) for t in texts]
    if forms[0] and forms[0] == forms[1]:
        return _judgement(Outcome.CONFIRMED, "the answers are written alike", "exact text", *texts)
    if problems:
        return _judgement(Outcome.ABSTAINED, "; ".join(problems), "none", *texts)
    return _compared(texts, meanings[0], meanings[1], scalars)


def _compared(texts: list[str], gold: list[Reading], answer: list[Reading], scalars: Scalars) -> Judgement:
    doubts: list[str] = []
    refuted = True
    for one in gold:
        for other in answer:
            comparison = Comparison(scalars)
            same = comparison.same(meaning(one.tree), meaning(other.tree))
            if same and (one.sure or isinstance(other.tree, Quantity)) and (other.sure or isinstance(one.tree, Quantity)):
                method = "structure" if type(one.tree) is not type(other.tree) else scalars.method
                return _judgement(Outcome.CONFIRMED, "both are the same", method, *texts)
            if same:
                doubts.append("they agree only if a letter behind a number is a unit")
            if same is None:
                doubts.extend(comparison.doubts or ["whether they are the same cannot be told"])
            refuted = refuted and same is False
    if refuted:
        return _judgement(Outcome.REFUTED, "both were understood and differ", scalars.method, *texts)
    return _judgement(Outcome.ABSTAINED, "; ".join(dict.fromkeys(doubts)), scalars.method, *texts)


def _found(text: str) -> str:
    """Return the answer in ``text``.

    Raises:
        CannotReadError: There is none.
    """
    stripped = text.strip()
    plain = re.sub(r"\\+(?=boxed|fbox)", r"\\", stripped)
    if not stripped:
        raise CannotReadError("it is empty")
    if not has_cue(plain):
        bare = bare_answer(plain)
        if bare is not None:
            return bare
        if len(stripped) > MAX_ANSWER_CHARS and not _PROSE.search(stripped):
            raise CannotReadError(f"it is longer than {MAX_ANSWER_CHARS} characters and no prose")
        if _COUNTED.fullmatch(stripped):
            try:
                readings(stripped)
            except CannotReadError:
                pass  # a sentence that begins with a number
            else:
                return stripped
        if _BROKEN_MATH.search(plain[-2_000:]) and "$$" not in plain and "\\[" not in plain:
            raise CannotReadError("a formula within a line is broken over lines")
    found = extract_answer(plain)
    if found is None and len(stripped.split()) > 40:
        raise CannotReadError("it holds no answer")
    if found is not None and len(found) >= MAX_ANSWER_CHARS:
        raise CannotReadError(f"its answer is longer than {MAX_ANSWER_CHARS} characters")
    return stripped if found is None else found


def _judgement(outcome: Outcome, reason: str, method: str, gold: str = "", answer: str = "") -> Judgement:
    return Judgement(outcome, reason[:500], method, gold[:MAX_SHOWN_CHARS], answer[:MAX_SHOWN_CHARS])
