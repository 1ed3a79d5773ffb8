"""Statements about reference documents; every one is scoped by the tenant.

A term is letters and digits only, which is what makes it safe to quote into a tsquery.
"""

from __future__ import annotations

from sqlalchemy import text

ENSURE_COLLECTION = text("""
INSERT INTO collections (id, tenant, name) VALUES (:id, :tenant, :name) ON CONFLICT (tenant, name) DO NOTHING
""")

COLLECTION = text("SELECT * FROM collections WHERE tenant = :tenant AND name = :name")

LOCK_COLLECTION = text("SELECT * FROM collections WHERE tenant = :tenant AND name = :name FOR UPDATE")

COLLECTIONS = text("SELECT * FROM collections WHERE tenant = :tenant ORDER BY name")

COLLECTION_NAMES = text("SELECT name FROM collections WHERE tenant = :tenant")

DOCUMENTS = text("""
SELECT d.id, d.title, d.sha256, d.revision, d.embedder, d.added_at,
       (SELECT count(*) FROM passages p
        WHERE p.collection_id = d.collection_id AND p.document_id = d.id AND p.tenant = d.tenant) AS n_passages
FROM documents d JOIN collections c ON c.id = d.collection_id
WHERE c.tenant = :tenant AND c.name = :name AND d.tenant = :tenant AND d.id > :after ORDER BY d.id LIMIT :n
""")

KNOWN_DOCUMENTS = text("""
SELECT d.id, d.sha256, d.embedder FROM documents d JOIN collections c ON c.id = d.collection_id
WHERE c.tenant = :tenant AND c.name = :name AND d.tenant = :tenant AND d.id = ANY(:ids)
""")

# The passages go with their document; what went is counted before the cascade takes it.
DROP_DOCUMENTS = text("""
WITH gone AS (
    SELECT count(*) AS n_passages, coalesce(sum(n_terms), 0) AS n_terms FROM passages
    WHERE collection_id = :collection AND tenant = :tenant AND document_id = ANY(:ids)
), dropped AS (
    DELETE FROM documents WHERE collection_id = :collection AND tenant = :tenant AND id = ANY(:ids) RETURNING id
)
SELECT (SELECT count(*) FROM dropped) AS n_documents, n_passages, n_terms FROM gone
""")

INSERT_DOCUMENT = text("""
INSERT INTO documents (collection_id, id, tenant, title, details, sha256, revision, embedder)
VALUES (:collection, :id, :tenant, :title, CAST(:details AS jsonb), :sha256, :revision, :embedder)
""")

PASSAGE_COLUMNS = (
    "collection_id",
    "document_id",
    "ordinal",
    "tenant",
    "start",
    "text",
    "sha256",
    "n_terms",
    "terms",
    "embedding",
)

CHANGE_COLLECTION = text("""
UPDATE collections SET revision = :revision, changed_at = now(), n_documents = n_documents + :n_documents,
       n_passages = n_passages + :n_passages, n_terms = n_terms + :n_terms
WHERE id = :collection AND tenant = :tenant
""")

DROP_COLLECTION = text(
    "DELETE FROM collections WHERE tenant = :tenant AND name = :name RETURNING n_documents"
)

TERMS_HELD = text("""
SELECT term, (SELECT count(*) FROM passages
              WHERE collection_id = :collection AND tenant = :tenant
                AND lexemes @@ ('''' || term || '''')::tsquery) AS n
FROM unnest(CAST(:terms AS text[])) AS wanted(term)
""")

# Candidates by the rarity of the query's terms they hold; their BM25 score is worked out from the text.
CANDIDATES = text("""
SELECT p.document_id, p.ordinal
FROM unnest(CAST(:terms AS text[]), CAST(:weights AS float8[])) AS wanted(term, weight)
JOIN passages p ON p.lexemes @@ ('''' || wanted.term || '''')::tsquery
WHERE p.collection_id = :collection AND p.tenant = :tenant
GROUP BY p.document_id, p.ordinal
ORDER BY sum(wanted.weight) DESC, p.document_id, p.ordinal LIMIT :n
""")

PASSAGES = text("""
SELECT p.document_id, p.ordinal, p.start, p.text, d.title, d.revision
FROM unnest(CAST(:documents AS text[]), CAST(:ordinals AS int[])) WITH ORDINALITY AS wanted(document_id, ordinal, place)
JOIN passages p ON p.document_id = wanted.document_id AND p.ordinal = wanted.ordinal
JOIN documents d ON d.collection_id = p.collection_id AND d.id = p.document_id AND d.tenant = p.tenant
WHERE p.collection_id = :collection AND p.tenant = :tenant
ORDER BY wanted.place
""")

EMBEDDINGS = text("""
SELECT p.document_id, p.ordinal, p.embedding
FROM passages p JOIN documents d ON d.collection_id = p.collection_id AND d.id = p.document_id
WHERE p.collection_id = :collection AND p.tenant = :tenant AND d.embedder = :embedder AND p.embedding IS NOT NULL
ORDER BY p.document_id, p.ordinal
""")
