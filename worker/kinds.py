"""What a task's kind chooses: how an answer is read off, and when two answers are the same."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from verifiers.code.extraction import extract_program
from verifiers.code.languages import JAVASCRIPT, PYTHON
from verifiers.math.extraction import extract_answer
from verifiers.math.normal import normal_form as math_normal_form
from worker.short_answers import bare, extract_short_answer

MAX_ANSWER_CHARS = 100_000  # a longer answer is no answer anybody can check


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    """The defaults of one kind."""

    extract: Callable[[str, str | None], str | None]
    """Chain text and entry point to the answer, or ``None``."""

    normal_form: Callable[[str], str]
    """Answers with the same normal form are the same answer for certain."""

    equivalence: str
    """``exact``, ``symbolic`` (the math verifier) or ``behavioural`` (outputs on generated inputs)."""


def text_normal_form(answer: str) -> str:
    """Return ``answer`` without case, decoration and differences of white space."""
    return " ".join(bare(answer).casefold().split())


def _extract_math(text: str, _entry_point: str | None) -> str | None:
    return extract_answer(text)


def _whole_text(text: str, _entry_point: str | None) -> str | None:
    return text.strip() or None


KINDS: dict[str, KindRules] = {
    "math": KindRules(
        extract=_extract_math,
        normal_form=math_normal_form,
        equivalence="symbolic",
    ),
    "code": KindRules(
        extract=extract_program,
        normal_form=PYTHON.normal_form,
        equivalence="behavioural",
    ),
    "diagnosis": KindRules(
        extract=extract_short_answer,
        normal_form=text_normal_form,
        equivalence="exact",
    ),
    "qa": KindRules(
        extract=extract_short_answer,
        normal_form=text_normal_form,
        equivalence="exact",
    ),
    "text": KindRules(
        extract=_whole_text,
        normal_form=text_normal_form,
        equivalence="exact",
    ),
}

_CODE_IN = {
    "python": KINDS["code"],
    "javascript": replace(
        KINDS["code"],
        extract=functools.partial(extract_program, language=JAVASCRIPT),
        normal_form=JAVASCRIPT.normal_form,
    ),
}


def rules_of_kind(kind: str, language: str) -> KindRules:
    """Return the defaults of a kind; those of code depend on the programs' language."""
    return _CODE_IN[language] if kind == "code" else KINDS[kind]


def read_answer(kind: str, mode: str, text: str, entry_point: str | None, language: str) -> str | None:
    """Return the answer in a chain's text, or ``None`` when there is none that can be used.

    In ``spread`` a chain of any kind but code and math is the explanation itself.
    """
    rules = rules_of_kind(kind, language)
    extract = extract_short_answer if mode == "spread" and kind not in {"code", "math"} else rules.extract
    answer = extract(text, entry_point)
    if answer is None or not answer.strip() or len(answer) > MAX_ANSWER_CHARS:
        return None
    return answer
