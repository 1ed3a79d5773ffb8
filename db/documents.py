"""Tables of reference documents: a tenant's collections, their documents, and the passages that are searched."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant


class CollectionRow(Base):
    """One named set of documents.

    The counts are what BM25 needs of the whole set; they change in the transaction that changes the passages.
    """

    __tablename__ = "collections"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    name: Mapped[str]
    revision: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Grows with every committed change, so that what is kept in memory of one revision stays true of it."""

    n_documents: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    n_passages: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    n_terms: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Terms of all passages together, repetitions counted."""

    created_at: Mapped[CreatedAt]
    changed_at: Mapped[At | None]


class DocumentRow(Base):
    """One document; its text stands in its passages, which cover it."""

    __tablename__ = "documents"

    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    """Its author's; unique in the collection."""

    tenant: Mapped[Tenant]
    title: Mapped[str] = mapped_column(server_default="")
    details: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    """The author's metadata."""

    sha256: Mapped[str]
    """Of title, text and metadata; the same again is no change."""

    revision: Mapped[int]
    """The collection's revision that brought this wording."""

    embedder: Mapped[str | None]
    """Name and weights of the sentence model its passages were embedded with; null when they were not."""

    added_at: Mapped[CreatedAt]


class PassageRow(Base):
    """A few sentences of a document: what is found, judged and quoted."""

    __tablename__ = "passages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["collection_id", "document_id"],
            ["documents.collection_id", "documents.id"],
            ondelete="CASCADE",
        ),
        Index("ix_passages_lexemes", "lexemes", postgresql_using="gin"),
    )

    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[Tenant]
    start: Mapped[int]
    """Where it begins in the document, in characters."""

    text: Mapped[str]
    sha256: Mapped[str]
    n_terms: Mapped[int]
    terms: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """The distinct terms of title and text, made by us and not by the server's parser, which depends on its locale."""

    lexemes: Mapped[Any] = mapped_column(TSVECTOR, Computed("array_to_tsvector(terms)", persisted=True))
    embedding: Mapped[bytes | None]
    """Float32, little-endian, of length 1; null when the model could not read the passage whole."""
