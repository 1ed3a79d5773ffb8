"""Inference by shared words: for tests, and the baseline that a real model has to beat. Never a default."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.facts.sentences import sentences
from verifiers.facts.terms import terms_of
from verifiers.nli import NliScores

COVERED = 0.8  # share of the hypothesis' words that one sentence of the premise must hold
SURE, REST = 0.96, 0.02
_NEGATIONS = frozenset(["no", "not", "never", "none", "nor", "neither", "without", "cannot", "n't", "rarely"])


class OverlapNli:
    """Calls a hypothesis entailed when one sentence of the premise holds its words.

    And contradicted when that sentence differs from it in a negation or a number.
    """

    name = "word-overlap"
    revision = "1"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[NliScores]:
        """Do as ``NliModel`` says."""
        return [_score(premise, hypothesis) for premise, hypothesis in pairs]

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""


def _score(premise: str, hypothesis: str) -> NliScores:
    words, numbers, negated = _read(hypothesis)
    verdicts = [_relation(sentence, words, numbers, negated=negated) for sentence in sentences(premise)]
    if "entailment" in verdicts:
        return NliScores(entailment=SURE, neutral=REST, contradiction=REST)
    if "contradiction" in verdicts:
        return NliScores(entailment=REST, neutral=REST, contradiction=SURE)
    return NliScores(entailment=REST, neutral=SURE, contradiction=REST)


def _relation(sentence: str, words: set[str], numbers: set[str], *, negated: bool) -> str:
    held, held_numbers, held_negated = _read(sentence)
    if not words or len(words & held) < COVERED * len(words):
        return "neutral"
    if numbers - held_numbers:
        return "contradiction" if held_numbers else "neutral"
    return "entailment" if negated == held_negated else "contradiction"


def _read(text: str) -> tuple[set[str], set[str], bool]:
    """Return the words, the numbers, and whether an odd number of words negates."""
    terms = terms_of(text.replace("n't", " not"))
    numbers = {term for term in terms if term[0].isdigit()}
    n_negations = sum(term in _NEGATIONS for term in terms)
    return set(terms) - numbers - _NEGATIONS, numbers, n_negations % 2 == 1
