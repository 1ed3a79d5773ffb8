"""Documents into a collection: the same again is no change, another wording replaces the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from verifiers.facts.chunking import passages_of
from verifiers.facts.ranking import model_key
from verifiers.facts.sentences import readable
from verifiers.facts.terms import terms_of
from worker.embedders.protocol import Embedder
from worker.store.documents import NewDocument, known_documents, put_documents
from worker.store.texts import storable
from worker.store.transactions import Store
from worker.submission.lines import ReferenceDocument

TOGETHER = 64  # documents of one transaction; embedding them, some seconds, happens before it is opened


@dataclass(slots=True, kw_only=True)
class Import:
    """What became of the documents."""

    n_added: int = 0
    n_changed: int = 0
    """Replaced: another wording, or the same embedded for the first time or by another model."""

    n_unchanged: int = 0
    n_passages: int = 0
    """Written."""

    n_not_embedded: int = 0
    """Passages that the sentence model could not read whole; they are found by words alone."""

    revision: int | None = None
    """The collection's after the last change; ``None`` when there was none."""


def import_documents(
    store: Store,
    name: str,
    documents: Iterable[ReferenceDocument],
    *,
    tenant: str,
    embedder: Embedder | None,
    told: Callable[[Import], None] = lambda _: None,
) -> Import:
    """Put documents into a collection, which is made when there is none.

    Written in portions: an import that is cut short leaves whole documents, and doing it again goes on from there.

    Args:
        store: The database.
        name: The collection.
        documents: With ids that don't repeat; read as they are written.
        tenant: Whose collection.
        embedder: Embeds the passages; without one they are found by words alone.
        told: Called after every portion with the state so far.

    Raises:
        StoreUnavailableError: The database went away; the portions before are in.
        VerifierError: The sentence model broke; likewise.
    """
    done = Import()
    for portion in _portions(documents):
        _import_portion(store, name, portion, done, tenant=tenant, embedder=embedder)
        told(done)
    return done


def _import_portion(
    store: Store,
    name: str,
    portion: Sequence[ReferenceDocument],
    done: Import,
    *,
    tenant: str,
    embedder: Embedder | None,
) -> None:
    key = None if embedder is None else model_key(embedder)
    known = known_documents(store, name, [storable(one.id) for one in portion], tenant=tenant)
    changed = []
    for document in portion:
        before = known.get(storable(document.id))
        if before is not None and before[0] == content_hash(document) and key in {None, before[1]}:
            done.n_unchanged += 1
            continue
        done.n_added += before is None
        done.n_changed += before is not None
        changed.append(prepare(document, embedder))
    if not changed:
        return
    done.revision = put_documents(store, name, changed, tenant=tenant)
    done.n_passages += sum(len(one.passages) for one in changed)
    done.n_not_embedded += sum(_n_unread(one) for one in changed)


def prepare(document: ReferenceDocument, embedder: Embedder | None) -> NewDocument:
    """Return the document cut into passages, and embedded where there is a model."""
    passages = passages_of(storable(document.id), document.text, title=document.title)
    contents = [passage.content for passage in passages]
    return NewDocument(
        id=storable(document.id),
        title=readable(document.title),
        metadata=document.metadata,
        sha256=content_hash(document),
        passages=passages,
        terms=[terms_of(content) for content in contents],
        embedder=None if embedder is None else model_key(embedder),
        vectors=None if embedder is None else embedder.embed(contents),
    )


def content_hash(document: ReferenceDocument) -> str:
    """Return the sha256 of title, text and metadata."""
    content = json.dumps([document.title, document.text, document.metadata], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _n_unread(document: NewDocument) -> int:
    if document.vectors is None:
        return 0
    return int(sum(bool((row != row).any()) for row in document.vectors))  # noqa: PLR0124 (NaN is not itself)


def _portions(documents: Iterable[ReferenceDocument]) -> Iterator[list[ReferenceDocument]]:
    portion: list[ReferenceDocument] = []
    for document in documents:
        portion.append(document)
        if len(portion) == TOGETHER:
            yield portion
            portion = []
    if portion:
        yield portion
