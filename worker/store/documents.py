"""Reference documents as rows: put, listed, searched and dropped, always within one tenant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from uuid_utils.compat import uuid7

from db import batches, search
from verifiers.passages import Passage
from worker.store.texts import storable, storable_json
from worker.store.transactions import statements, transaction

Vectors = NDArray[np.float32]
Place = tuple[str, int]
"""A passage's document and ordinal."""

PAGE = 500
_STORED = np.dtype("<f4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One tenant's named set of documents as it stands."""

    id: UUID
    tenant: str
    name: str
    revision: int
    n_documents: int
    n_passages: int
    n_terms: int
    changed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document ready to be put: cut into passages, and embedded where a model was there."""

    id: str
    title: str
    metadata: dict[str, Any]
    sha256: str
    passages: Sequence[Passage]
    terms: Sequence[Sequence[str]]
    """Of each passage."""

    embedder: str | None
    vectors: NDArray[np.float64] | None
    """One row a passage; NaN for one the model could not read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """One document as it is listed."""

    id: str
    title: str
    sha256: str
    revision: int
    embedder: str | None
    n_passages: int
    added_at: datetime


def find_collection(engine: Engine, name: str, *, tenant: str) -> Collection | None:
    """Return the tenant's collection of this name, if there is one."""
    with statements(engine) as connection:
        values = {"tenant": tenant, "name": storable(name)}
        row = connection.execute(search.COLLECTION, values).mappings().one_or_none()
    return None if row is None else _collection(row)


def list_collections(engine: Engine, *, tenant: str) -> list[Collection]:
    """Return the tenant's collections by name."""
    with statements(engine) as connection:
        rows = connection.execute(search.COLLECTIONS, {"tenant": tenant}).mappings().all()
    return [_collection(row) for row in rows]


def collection_names(engine: Engine, *, tenant: str) -> set[str]:
    """Return the names of the tenant's collections."""
    with statements(engine) as connection:
        return set(connection.execute(search.COLLECTION_NAMES, {"tenant": tenant}).scalars())


def list_documents(engine: Engine, name: str, *, tenant: str) -> Iterator[StoredDocument]:
    """Yield the documents of a collection by id, page by page."""
    after = ""
    while True:
        values = {"tenant": tenant, "name": storable(name), "after": after, "n": PAGE}
        with statements(engine) as connection:
            page = connection.execute(search.DOCUMENTS, values).mappings().all()
        if not page:
            return
        for row in page:
            yield StoredDocument(**row)
        after = page[-1]["id"]


def known_documents(
    engine: Engine, name: str, ids: Sequence[str], *, tenant: str
) -> dict[str, tuple[str, str | None]]:
    """Return the hash and the embedder of those of ``ids`` that the collection holds."""
    values = {"tenant": tenant, "name": storable(name), "ids": list(ids)}
    with statements(engine) as connection:
        rows = connection.execute(search.KNOWN_DOCUMENTS, values).all()
    return {row.id: (row.sha256, row.embedder) for row in rows}


def put_documents(engine: Engine, name: str, documents: Sequence[NewDocument], *, tenant: str) -> int:
    """Write documents, replacing those of the same ids; return the collection's new revision.

    The collection is made when there is none, and its row is locked meanwhile: of two that put at once, the second
    waits. Readers see all of it or nothing.
    """
    name = storable(name)
    with transaction(engine) as connection:
        connection.execute(search.ENSURE_COLLECTION, {"id": uuid7(), "tenant": tenant, "name": name})
        row = connection.execute(search.LOCK_COLLECTION, {"tenant": tenant, "name": name}).mappings().one()
        collection = _collection(row)
        gone = _drop(connection, collection, [document.id for document in documents])
        revision = collection.revision + 1
        connection.execute(
            search.INSERT_DOCUMENT,
            [_document_values(collection, document, revision=revision) for document in documents],
        )
        rows = [row for document in documents for row in _passage_rows(collection, document)]
        batches.copy_rows(connection, "passages", search.PASSAGE_COLUMNS, rows)
        n_terms = sum(len(terms) for document in documents for terms in document.terms)
        _change(
            connection,
            collection,
            revision=revision,
            n_documents=len(documents) - gone[0],
            n_passages=len(rows) - gone[1],
            n_terms=n_terms - gone[2],
        )
    return revision


def drop_documents(engine: Engine, name: str, ids: Sequence[str], *, tenant: str) -> int | None:
    """Take documents out of a collection; return how many there were, or ``None`` when there is no collection."""
    with transaction(engine) as connection:
        values = {"tenant": tenant, "name": storable(name)}
        row = connection.execute(search.LOCK_COLLECTION, values).mappings().one_or_none()
        if row is None:
            return None
        collection = _collection(row)
        n_documents, n_passages, n_terms = _drop(connection, collection, ids)
        if n_documents:
            _change(
                connection,
                collection,
                revision=collection.revision + 1,
                n_documents=-n_documents,
                n_passages=-n_passages,
                n_terms=-n_terms,
            )
    return n_documents


def drop_collection(engine: Engine, name: str, *, tenant: str) -> int | None:
    """Drop a collection with its documents; return how many they were, or ``None`` when there is none."""
    with transaction(engine) as connection:
        values = {"tenant": tenant, "name": storable(name)}
        found: int | None = connection.execute(search.DROP_COLLECTION, values).scalar_one_or_none()
    return found


def terms_held(engine: Engine, collection: Collection, terms: Sequence[str]) -> dict[str, int]:
    """Return how many passages of the collection hold each term."""
    values = {"collection": collection.id, "tenant": collection.tenant, "terms": list(terms)}
    with statements(engine) as connection:
        return {row.term: row.n for row in connection.execute(search.TERMS_HELD, values)}


def find_candidates(
    engine: Engine, collection: Collection, weights: dict[str, float], *, n: int
) -> list[Place]:
    """Return the ``n`` passages whose terms weigh most together; none holds no term at all."""
    values = {
        "collection": collection.id,
        "tenant": collection.tenant,
        "terms": list(weights),
        "weights": list(weights.values()),
        "n": n,
    }
    with statements(engine) as connection:
        return [(row.document_id, row.ordinal) for row in connection.execute(search.CANDIDATES, values)]


def load_passages(engine: Engine, collection: Collection, places: Sequence[Place]) -> list[Passage]:
    """Return the passages at ``places``, in that order, without those that went meanwhile."""
    values = {
        "collection": collection.id,
        "tenant": collection.tenant,
        "documents": [document for document, _ in places],
        "ordinals": [ordinal for _, ordinal in places],
    }
    with statements(engine) as connection:
        rows = connection.execute(search.PASSAGES, values).all()
    return [
        Passage(
            document=row.document_id,
            ordinal=row.ordinal,
            text=row.text,
            title=row.title,
            start=row.start,
            revision=row.revision,
        )
        for row in rows
    ]


def load_embeddings(engine: Engine, collection: Collection, *, embedder: str) -> tuple[list[Place], Vectors]:
    """Return where the passages are that this model embedded, and their vectors, one row each."""
    values = {"collection": collection.id, "tenant": collection.tenant, "embedder": embedder}
    with statements(engine) as connection:
        rows = connection.execute(search.EMBEDDINGS, values).all()
    vectors = [np.frombuffer(row.embedding, dtype=_STORED) for row in rows]
    places = [(row.document_id, row.ordinal) for row in rows]
    return places, np.array(vectors, dtype=np.float32)


def _drop(connection: Connection, collection: Collection, ids: Sequence[str]) -> tuple[int, int, int]:
    values = {"collection": collection.id, "tenant": collection.tenant, "ids": list(ids)}
    row = connection.execute(search.DROP_DOCUMENTS, values).one()
    return row.n_documents, row.n_passages, row.n_terms


def _change(
    connection: Connection,
    collection: Collection,
    *,
    revision: int,
    n_documents: int,
    n_passages: int,
    n_terms: int,
) -> None:
    values = {
        "collection": collection.id,
        "tenant": collection.tenant,
        "revision": revision,
        "n_documents": n_documents,
        "n_passages": n_passages,
        "n_terms": n_terms,
    }
    connection.execute(search.CHANGE_COLLECTION, values)


def _document_values(collection: Collection, document: NewDocument, *, revision: int) -> dict[str, object]:
    return {
        "collection": collection.id,
        "id": document.id,
        "tenant": collection.tenant,
        "title": storable(document.title),
        "details": json.dumps(storable_json(document.metadata)),
        "sha256": document.sha256,
        "revision": revision,
        "embedder": document.embedder,
    }


def _passage_rows(collection: Collection, document: NewDocument) -> Iterator[tuple[Any, ...]]:
    vectors: Sequence[Any] = [None] * len(document.passages)
    if document.vectors is not None:
        vectors = [None if np.isnan(row).any() else row.astype(_STORED).tobytes() for row in document.vectors]
    for passage, terms, vector in zip(document.passages, document.terms, vectors, strict=True):
        yield (
            collection.id,
            document.id,
            passage.ordinal,
            collection.tenant,
            passage.start,
            passage.text,
            hashlib.sha256(passage.content.encode()).hexdigest(),
            len(terms),
            sorted(set(terms)),
            vector,
        )


def _collection(row: Any) -> Collection:  # noqa: ANN401 (a row mapping)
    return Collection(**{name: row[name] for name in Collection.__dataclass_fields__})
