"""Search in one stored collection: candidates from the database, ranked as a task's own documents are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from verifiers.errors import DocumentsUnavailableError
from verifiers.facts.bm25 import Statistics, inverse_frequency
from verifiers.facts.ranking import cosines_to, model_key, rank
from verifiers.facts.sentences import readable
from verifiers.facts.terms import terms_of
from verifiers.passages import Retrieved
from worker.embedders.protocol import Embedder
from worker.errors import StoreUnavailableError
from worker.store.documents import (
    Collection,
    Place,
    Vectors,
    find_candidates,
    find_collection,
    load_embeddings,
    load_passages,
    terms_held,
)
from worker.store.transactions import Store

CANDIDATES = 200  # of each ranking; beyond them reciprocal rank fusion gives next to nothing
KEPT_COLLECTIONS = 4  # whose vectors stay in memory: 1.5 kB a passage
LARGE = 10_000  # passages of a collection from which common terms alone make no candidate
COMMON = 0.5  # share of the passages that hold a common term


@dataclass(frozen=True, slots=True)
class _Embedded:
    """The vectors of one revision of a collection."""

    places: list[Place]
    place_of: dict[Place, int]
    vectors: Vectors


class Shelf:
    """The vectors of the collections last searched, one revision of each; shared by the threads of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[object, ...], _Embedded] = OrderedDict()
        self._loading = threading.Lock()

    def vectors_of(self, collection: Collection, *, embedder: str) -> _Embedded:
        """Return the collection's vectors by this model, loaded once a revision."""
        key = (collection.id, embedder, collection.revision)
        with self._loading:
            if key not in self._kept:
                for stale in [one for one in self._kept if one[:2] == key[:2]]:
                    del self._kept[stale]
                places, vectors = load_embeddings(self._store, collection, embedder=embedder)
                self._kept[key] = _Embedded(places, {place: i for i, place in enumerate(places)}, vectors)
                while len(self._kept) > KEPT_COLLECTIONS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


class CollectionRetriever:
    """Searches one tenant's collection.

    BM25 takes its statistics from the whole collection and is worked out for the candidates that Postgres' full-text
    index gives; cosines are exact, over every embedded passage.

    Args:
        store: The database.
        shelf: Of the same database.
        name: The collection.
        tenant: Whose.
        embedder: Embeds the query; ``None`` searches by words alone.
        why_no_embedder: Stands in the evidence when there is none.
    """

    def __init__(
        self,
        store: Store,
        shelf: Shelf,
        name: str,
        *,
        tenant: str,
        embedder: Embedder | None,
        why_no_embedder: str = "",
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._name = name
        self._tenant = tenant
        self._embedder = embedder
        self._why_no_embedder = why_no_embedder

    def retrieve(self, query: str, *, n: int) -> Retrieved:
        """Do as ``Retriever`` says; a collection that is not there holds nothing, and ``source`` says so.

        Raises:
            DocumentsUnavailableError: The database is away.
            VerifierError: The sentence model broke.
        """
        try:
            collection = find_collection(self._store, self._name, tenant=self._tenant)
            if collection is None:
                return Retrieved(
                    found=(),
                    method="bm25",
                    source={"collection": self._name},
                    problem=f'there is no collection "{self._name}"',
                )
            return self._search(collection, readable(query), n=n)
        except StoreUnavailableError as error:
            raise DocumentsUnavailableError(f"the documents cannot be read: {error}") from error

    def _search(self, collection: Collection, query: str, *, n: int) -> Retrieved:
        terms = sorted(set(terms_of(query)))
        holding = terms_held(self._store, collection, terms) if terms else {}
        statistics = Statistics(
            n_passages=collection.n_passages,
            mean_terms=collection.n_terms / max(1, collection.n_passages),
            holding=holding,
        )
        places = find_candidates(self._store, collection, _weights(statistics), n=CANDIDATES)
        source: dict[str, Any] = {
            "collection": collection.name,
            "revision": collection.revision,
            "n_passages": collection.n_passages,
        }
        cosines = self._cosines(collection, query, source)
        nearest = sorted(cosines, key=lambda place: (-cosines[place], place))[:CANDIDATES]
        places = sorted({*places, *nearest})
        passages = load_passages(self._store, collection, places)
        found = rank(
            query,
            passages,
            [terms_of(passage.content) for passage in passages],
            statistics,
            [cosines.get((passage.document, passage.ordinal)) for passage in passages],
            n=n,
        )
        method = "bm25+embedding" if cosines else "bm25"
        return Retrieved(found=found, method=method, source=source)

    def _cosines(self, collection: Collection, query: str, source: dict[str, Any]) -> dict[Place, float]:
        """Return the cosine of every embedded passage; none, with the reason in ``source``, where there can't be."""
        if self._embedder is None:
            source["no_embeddings"] = self._why_no_embedder or "no sentence model was given"
            return {}
        key = model_key(self._embedder)
        embedded = self._shelf.vectors_of(collection, embedder=key)
        if not embedded.places:
            source["no_embeddings"] = f"the collection was not embedded with {key}; add its documents again"
            return {}
        (row,) = self._embedder.embed([query])
        if np.isnan(row).any():
            source["no_embeddings"] = "the statement is too long for the sentence model"
            return {}
        source["embedder"] = key
        source["n_embedded"] = len(embedded.places)
        products = cosines_to(row.astype(np.float32), embedded.vectors)
        return {
            place: cosine
            for place, cosine in zip(embedded.places, products, strict=True)
            if cosine is not None
        }


def _weights(statistics: Statistics) -> dict[str, float]:
    """Return what each term counts in choosing candidates.

    In a large collection common terms count only if there are no others: they would make half of it candidates.
    """
    held = [term for term, n in statistics.holding.items() if n]
    if statistics.n_passages >= LARGE:
        rarer = [term for term in held if statistics.holding[term] <= COMMON * statistics.n_passages]
        held = rarer or held
    return {term: inverse_frequency(statistics, term) for term in held}
