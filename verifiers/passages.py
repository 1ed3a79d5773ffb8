"""Pieces of reference documents, and what finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A few sentences of one reference document."""

    document: str
    """The document's id."""

    ordinal: int
    """Place among the document's passages, from 0."""

    text: str
    title: str = ""
    """The document's; read together with the text, which may name its subject only there."""

    start: int = 0
    """Where the text begins in the document, in characters."""

    revision: int | None = None
    """The collection's revision that brought this wording of the document; none outside collections."""

    @property
    def content(self) -> str:
        """Title and text: what is searched and judged."""
        return f"{self.title}. {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One passage that a search found, and how each ranking came to it."""

    passage: Passage
    fused: float
    """Reciprocal rank fusion of the rankings below; only its order means anything."""

    bm25: float | None = None
    """``None`` when the passage shares no term with the query."""

    bm25_rank: int | None = None
    """From 1."""

    cosine: float | None = None
    """``None`` when nobody embedded the passage or the query."""

    cosine_rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What a search found, best first."""

    found: tuple[Found, ...]
    method: str
    """``bm25+embedding``, or ``bm25`` where there were no embeddings; then ``source`` says why."""

    source: dict[str, Any] = field(default_factory=dict)
    """What was searched, as it stands in the evidence: JSON values."""

    problem: str = ""
    """Why nothing could be found, where there is more to say than that."""


class Retriever(Protocol):
    """Searches one set of documents; safe to call from any thread."""

    def retrieve(self, query: str, *, n: int) -> Retrieved:
        """Return the ``n`` passages that say most about ``query``, best first; fewer when there are fewer.

        Raises:
            VerifierError: The documents could not be read; says nothing about the query.
        """
        ...
