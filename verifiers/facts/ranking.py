"""Candidate passages ranked by words and by meaning, and the two orders fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from verifiers.facts.bm25 import Statistics, bm25
from verifiers.facts.fusion import reciprocal_rank_fusion
from verifiers.facts.terms import terms_of
from verifiers.passages import Found, Passage

Vectors = NDArray[np.float64]


class SentenceModel(Protocol):
    """Maps texts to vectors whose cosine says how alike they are; safe to call from any thread."""

    @property
    def name(self) -> str:
        """As it stands on verdicts."""
        ...

    @property
    def revision(self) -> str:
        """Which weights they are."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 per text; NaN for a text the model cannot read whole."""
        ...


def model_key(model: SentenceModel) -> str:
    """Return what names the model and its weights; vectors of two keys are never compared."""
    return f"{model.name}@{model.revision}"


def rank(
    query: str,
    passages: Sequence[Passage],
    terms: Sequence[Sequence[str]],
    statistics: Statistics,
    cosines: Sequence[float | None],
    *,
    n: int,
) -> tuple[Found, ...]:
    """Return the ``n`` best passages by reciprocal rank fusion of BM25 and cosine; ties in the passages' order.

    Args:
        query: The statement.
        passages: Candidates.
        terms: Of each candidate's content.
        statistics: Of all passages, candidates or not; of the query's terms at least.
        cosines: Of each candidate to the query; ``None`` where there is none.
        n: How many at most.
    """
    wanted = terms_of(query)
    scores = [bm25(wanted, held, statistics) for held in terms]
    by_words = _order([score if score > 0 else None for score in scores])
    by_meaning = _order(cosines)
    fused = reciprocal_rank_fusion([by_words, by_meaning])
    word_rank = {item: i for i, item in enumerate(by_words, start=1)}
    meaning_rank = {item: i for i, item in enumerate(by_meaning, start=1)}
    return tuple(
        Found(
            passage=passages[item],
            fused=score,
            bm25=scores[item] if item in word_rank else None,
            bm25_rank=word_rank.get(item),
            cosine=cosines[item],
            cosine_rank=meaning_rank.get(item),
        )
        for item, score in list(fused.items())[:n]
    )


def cosines_to(query: NDArray[np.floating[Any]], vectors: NDArray[np.floating[Any]]) -> list[float | None]:
    """Return the cosine of each row to the query's row; ``None`` where one of the two is NaN.

    Rounded to six digits, so that vectors kept as float32 are ranked as those that never left memory.
    """
    if np.isnan(query).any() or not len(vectors):
        return [None] * len(vectors)
    with np.errstate(invalid="ignore"):  # a row of NaN is a passage too long to embed
        products = vectors @ query
    return [None if np.isnan(product) else round(float(product), 6) for product in products]


def _order(scores: Sequence[float | None]) -> list[int]:
    """Return the items that have a score, best first, ties by place."""
    held = [(-score, i) for i, score in enumerate(scores) if score is not None]
    return [i for _, i in sorted(held)]
