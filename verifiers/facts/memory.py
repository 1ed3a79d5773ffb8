"""Search among passages that are at hand: a task's own documents, or a file's."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from verifiers.facts.bm25 import bm25, statistics_of
from verifiers.facts.ranking import SentenceModel, Vectors, cosines_to, model_key, rank
from verifiers.facts.sentences import readable
from verifiers.facts.terms import terms_of
from verifiers.passages import Passage, Retrieved

MAX_EMBEDDED = 200  # a sentence model needs some 15 ms a passage; of more, the best by words are embedded


class MemoryRetriever:
    """Searches given passages by BM25 and, where a sentence model is given, by cosine.

    Args:
        passages: All of them; BM25's statistics are taken from these.
        model: Embeds passages when first asked for, each once; ``None`` leaves BM25 alone.
        why_no_model: Stands in the evidence when there is none.
    """

    def __init__(
        self, passages: Sequence[Passage], *, model: SentenceModel | None = None, why_no_model: str = ""
    ) -> None:
        self._passages = list(passages)
        self._terms = [terms_of(passage.content) for passage in self._passages]
        self._statistics = statistics_of(self._terms)
        self._model = model
        self._why_no_model = why_no_model
        self._vectors: dict[int, Vectors] = {}
        self._embedding = threading.Lock()

    def retrieve(self, query: str, *, n: int) -> Retrieved:
        """Do as ``Retriever`` says.

        Raises:
            VerifierError: The sentence model broke.
        """
        query = readable(query)
        cosines = self._cosines(query)
        return Retrieved(
            found=rank(query, self._passages, self._terms, self._statistics, cosines, n=n),
            method="bm25" if self._model is None else "bm25+embedding",
            source=self._source(),
        )

    def _source(self) -> dict[str, object]:
        held: dict[str, object] = {"n_passages": len(self._passages)}
        if self._model is not None:
            held["embedder"] = model_key(self._model)
        elif self._why_no_model:
            held["no_embeddings"] = self._why_no_model
        return held

    def _cosines(self, query: str) -> list[float | None]:
        if self._model is None or not self._passages:
            return [None] * len(self._passages)
        chosen = self._to_embed(query)
        with self._embedding:
            missing = [i for i in chosen if i not in self._vectors]
            rows = self._model.embed([query, *(self._passages[i].content for i in missing)])
            self._vectors.update(zip(missing, rows[1:], strict=True))
        found = cosines_to(rows[0], np.array([self._vectors[i] for i in chosen]))
        cosines: list[float | None] = [None] * len(self._passages)
        for i, cosine in zip(chosen, found, strict=True):
            cosines[i] = cosine
        return cosines

    def _to_embed(self, query: str) -> list[int]:
        if len(self._passages) <= MAX_EMBEDDED:
            return list(range(len(self._passages)))
        wanted = terms_of(query)
        scores = [bm25(wanted, terms, self._statistics) for terms in self._terms]
        return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:MAX_EMBEDDED]
