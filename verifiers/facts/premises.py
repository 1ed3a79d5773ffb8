"""What of a passage a model of inference reads: all of it, and by itself the sentence nearest to the statement.

Small models, trained on single sentences, lose the one that matters among its neighbours; Laban et al. (2022) found
the same of summaries. The whole passage is read, too, since a sentence may need the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.facts.bm25 import bm25, statistics_of
from verifiers.facts.sentences import sentences
from verifiers.facts.terms import terms_of
from verifiers.nli import NliScores
from verifiers.passages import Passage


def premises_of(statement: str, passages: Sequence[Passage]) -> list[list[str]]:
    """Return, per passage, its content and, where it has several sentences, the one BM25 ranks first, under its title.

    BM25's statistics are those of all the passages' sentences; of equals the first sentence is taken.
    """
    parts = [sentences(passage.text) for passage in passages]
    terms = [[terms_of(part) for part in held] for held in parts]
    statistics = statistics_of([one for held in terms for one in held])
    wanted = terms_of(statement)
    found = []
    for passage, held, held_terms in zip(passages, parts, terms, strict=True):
        premises = [passage.content]
        if len(held) > 1:
            scores = [bm25(wanted, one, statistics) for one in held_terms]
            nearest = held[scores.index(max(scores))]
            premises.append(f"{passage.title}. {nearest}" if passage.title else nearest)
        found.append(premises)
    return found


def together(scores: Sequence[NliScores]) -> NliScores:
    """Return what the readings of one passage come to: the largest entailment and the largest contradiction.

    Where the two are more than 1 together, the readings are at odds: both are scaled down to sum to 1.
    """
    entailment = max(one.entailment for one in scores)
    contradiction = max(one.contradiction for one in scores)
    total = max(1.0, entailment + contradiction)
    entailment, contradiction = entailment / total, contradiction / total
    return NliScores(
        entailment=entailment,
        contradiction=contradiction,
        neutral=max(0.0, 1.0 - entailment - contradiction),
        n_windows=sum(one.n_windows for one in scores),
    )
