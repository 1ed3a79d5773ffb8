"""Tables of the search: one narrow row for each decided task, and the questions that people keep.

A decision's own row is wide, and what one searches by (its task's domain, its verdicts, its chains' models, the label
that came later) stands in five tables. So each current decision has an entry here, written in the transaction that
decides. An entry is derived: it proves nothing, and can be made again from the record.

What an entry can be found by are its *facets*, texts like ``domain=python``, each hashed together with the tenant. One
inverted index over them serves every combination of filters, where an index for each would cost as many writes. Every
entry has its week as a facet, so that a search can go back week by week and stop when it has enough.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Json, Tenant

WEEK_S = 604_800
"""The facet ``week`` counts spans of so many seconds from 1970 on."""


class SearchEntryRow(Base):
    """What a decided task is searched and counted by: its current decision."""

    __tablename__ = "search_entries"
    __table_args__ = (
        Index("ix_search_entries_newest", "tenant", "decided_at", "task_id"),
        # Every search reads what is pending, so little may be; it is still cheaper than no list at all.
        Index(
            "ix_search_entries_facets",
            "facets",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "256"},  # KiB
        ),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    decision_id: Mapped[UUID]
    tenant: Mapped[Tenant]
    decided_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    kind: Mapped[str]
    domain: Mapped[str]
    models: Mapped[str]
    """Of its chains, sorted, separated by commas."""

    abstained: Mapped[bool]
    reasons: Mapped[str]
    """Why it abstained, separated by commas; empty when it answered."""

    vote_margin: Mapped[float] = mapped_column(Double)
    merge_degree: Mapped[float] = mapped_column(Double)
    set_size: Mapped[int] = mapped_column(SmallInteger)
    tokens_spent: Mapped[int] = mapped_column(Integer)
    tokens_saved: Mapped[int] = mapped_column(Integer)
    label: Mapped[str]
    """What the label in force says of the answer: right, wrong, unknown, conflicting; none without a label."""

    facets: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class SavedQueryRow(Base):
    """A question that somebody gave a name."""

    __tablename__ = "saved_queries"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    filters: Mapped[Json]
    """The options as they were typed, so that ``3d`` is always of the last three days."""

    created_at: Mapped[CreatedAt]


# The facets are texts up to here, so that one can read what an entry is found by; then each is hashed with its tenant.
# Of a verdict there are three: verifier and outcome, and each alone. The verdict on the equivalence judges no answer.
WRITE = text(r"""
INSERT INTO search_entries (task_id, decision_id, tenant, decided_at, kind, domain, models, abstained, reasons,
                            vote_margin, merge_degree, set_size, tokens_spent, tokens_saved, label, facets)
SELECT d.task_id, d.id, d.tenant, d.created_at, t.kind, t.domain, array_to_string(m.models, ','), d.abstain_flag,
       coalesce((SELECT string_agg(r, ',') FROM jsonb_array_elements_text(d.abstain_reasons) r), ''),
       d.vote_margin, coalesce(d.merge_degree, 0), d.set_size, t.tokens_spent, t.tokens_saved, l.label,
       ARRAY(SELECT hashtextextended(d.tenant || E'\n' || facet, 0) FROM unnest(
           ARRAY['week=' || floor(extract(epoch FROM d.created_at) / 604800)::int,
                 'kind=' || t.kind, 'domain=' || t.domain, 'batch=' || t.batch_id, 'mode=' || t.mode,
                 'calibration=' || d.calibration_id,
                 'state=' || CASE WHEN d.abstain_flag THEN 'abstained' ELSE 'answered' END,
                 'outcome=' || coalesce(d.document #>> '{clusters,0,outcome}', 'none'),
                 'answer=' || lower(btrim(d.answer, E' \t\r\n')),
                 'margin=' || floor(d.vote_margin * 10)::int,
                 'degree=' || least(floor(coalesce(d.merge_degree, 0)), 16)::int,
                 'label=' || l.label, CASE WHEN l.label <> 'none' THEN 'label=any' END]
           || ARRAY(SELECT 'why=' || r FROM jsonb_array_elements_text(d.abstain_reasons) r)
           || ARRAY(SELECT 'model=' || model FROM unnest(m.models) model)
           || ARRAY(SELECT DISTINCT 'verdict=' || f FROM verdicts v
                    CROSS JOIN LATERAL (VALUES (v.verifier || ':' || v.outcome), (v.verifier), (v.outcome)) AS x (f)
                    WHERE v.task_id = d.task_id AND v.candidate LIKE 'answer:%')
       ) AS facet WHERE facet IS NOT NULL)
FROM decisions d JOIN tasks t ON t.id = d.task_id
CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT array_agg(DISTINCT c.model) FROM chains c WHERE c.task_id = d.task_id),
    string_to_array(nullif(t.model, ''), ','), '{}') AS models) m
CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT CASE WHEN g.correct THEN 'right' WHEN NOT g.correct THEN 'wrong'
                 WHEN g.grade = 'conflicting' THEN g.grade ELSE 'unknown' END
     FROM gradings g WHERE g.task_id = d.task_id AND g.until_at IS NULL), 'none') AS label) l
WHERE d.id = ANY(:ids) AND d.is_current
ON CONFLICT (task_id) DO UPDATE SET
    decision_id = excluded.decision_id, decided_at = excluded.decided_at, models = excluded.models,
    abstained = excluded.abstained, reasons = excluded.reasons, vote_margin = excluded.vote_margin,
    merge_degree = excluded.merge_degree, set_size = excluded.set_size, tokens_spent = excluded.tokens_spent,
    tokens_saved = excluded.tokens_saved, label = excluded.label, facets = excluded.facets
""")

DUE = text("""
SELECT d.id FROM decisions d WHERE d.tenant = :tenant AND d.is_current AND d.id > :after
  AND (:everything OR NOT EXISTS (SELECT FROM search_entries e WHERE e.task_id = d.task_id AND e.decision_id = d.id))
ORDER BY d.id LIMIT :n
""")

# Only what labels say is made again: chains and verdicts may have been pruned since the decision.
RELABEL = text(r"""
WITH news AS (
    SELECT e.task_id, CASE WHEN g.correct THEN 'right' WHEN NOT g.correct THEN 'wrong' WHEN g.grade = 'conflicting'
                           THEN g.grade WHEN g.grade IS NOT NULL THEN 'unknown' ELSE 'none' END AS label
    FROM search_entries e
    LEFT JOIN gradings g ON g.task_id = e.task_id AND g.until_at IS NULL
    WHERE e.task_id = ANY(:ids)
)
UPDATE search_entries e SET label = news.label, facets =
    ARRAY(SELECT f FROM unnest(e.facets) f WHERE f <> ALL(ARRAY[
        hashtextextended(e.tenant || E'\nlabel=' || e.label, 0), hashtextextended(e.tenant || E'\nlabel=any', 0)]))
    || ARRAY(SELECT hashtextextended(e.tenant || E'\nlabel=' || l, 0)
             FROM unnest(ARRAY[news.label, CASE WHEN news.label <> 'none' THEN 'any' END]) l WHERE l IS NOT NULL)
FROM news WHERE e.task_id = news.task_id AND e.label <> news.label
""")
