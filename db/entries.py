"""Tables of the search: one narrow row for each decided task, and the questions that people keep.

A decision's own row is wide, and what one searches by (its task's domain, its verdicts, its chains' models, the label
that came later) stands in five tables. So each current decision has an entry here, written in the transaction that
decides. An entry is derived: it proves nothing, and can be made again from the record.

What an entry can be found by is of two sorts. Of one there are few values: kind, domain, state, reasons, verdicts,
models, label, a tenth of the margin. Together they are the entry's *profile*, texts like ``domain=python``, and most
decisions of a month share theirs with many others. So a search asks the few profiles first, which answers what never
occurs at once, and then reads the entries of each that fits in the order of time. Of the other sort there are many
values: the batch, the calibration, the answer. Each is a *key* of its own, hashed together with the tenant.
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
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Json, Tenant

SPAN_S = 2_419_200
"""A profile is of one span of so many seconds (four weeks), counted from 1970 on."""

MARGIN_EDGES = tuple(i / 10 for i in range(1, 11))
DEGREE_EDGES = tuple(float(i) for i in range(1, 17))
"""Where buckets of numbers begin, but the first; a number on an edge is in the bucket above it."""


class SearchProfileRow(Base):
    """What the decisions of one span that are alike can be found by; kept when the last of them is gone."""

    __tablename__ = "search_profiles"
    __table_args__ = (
        # Few rows are added, and every search would have to read a list of pending ones.
        Index(
            "ix_search_profiles_facets",
            "facets",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """A hash of the span and the facets, so that nobody has to look it up."""

    tenant: Mapped[Tenant]
    span: Mapped[int] = mapped_column(Integer)
    facets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Sorted; the tenant is one of them."""


class SearchEntryRow(Base):
    """What a decided task is searched and counted by: its current decision."""

    __tablename__ = "search_entries"
    # Each index is in the order of the search, and holds what a page's places need, so that no row is read for them.
    __table_args__ = (
        Index("ix_search_entries_newest", "tenant", "decided_at", "task_id", postgresql_include=["profile"]),
        Index("ix_search_entries_profile", "profile", "decided_at", "task_id"),
        *(
            Index(
                f"ix_search_entries_{key}",
                key,
                "decided_at",
                "task_id",
                postgresql_include=["profile"],
                postgresql_where=text(f"{key} IS NOT NULL"),
            )
            for key in ("batch", "calibration", "answer")
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

    profile: Mapped[int] = mapped_column(BigInteger)
    batch: Mapped[int | None] = mapped_column(BigInteger)
    calibration: Mapped[int | None] = mapped_column(BigInteger)
    answer: Mapped[int | None] = mapped_column(BigInteger)


class SavedQueryRow(Base):
    """A question that somebody gave a name."""

    __tablename__ = "saved_queries"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    filters: Mapped[Json]
    """The options as they were typed, so that ``3d`` is always of the last three days."""

    created_at: Mapped[CreatedAt]


_MARGIN, _DEGREE = (
    f"CAST('{{{','.join(map(str, edges))}}}' AS float8[])" for edges in (MARGIN_EDGES, DEGREE_EDGES)
)

# Of a verdict there are three facets: verifier and outcome, and each alone. The verdict on the equivalence judges no
# answer.
_FACETS = rf"""
    ARRAY['tenant=' || d.tenant, 'kind=' || t.kind, 'domain=' || t.domain, 'mode=' || t.mode,
          'state=' || CASE WHEN d.abstain_flag THEN 'abstained' ELSE 'answered' END,
          'outcome=' || coalesce(d.document #>> '{{clusters,0,outcome}}', 'none'),
          'margin=' || width_bucket(d.vote_margin, {_MARGIN}),
          'degree=' || width_bucket(coalesce(d.merge_degree, 0), {_DEGREE}),
          'label=' || l.label, CASE WHEN l.label <> 'none' THEN 'label=any' END]
    || ARRAY(SELECT 'why=' || r FROM jsonb_array_elements_text(d.abstain_reasons) r)
    || ARRAY(SELECT 'model=' || model FROM unnest(m.models) model)
    || ARRAY(SELECT DISTINCT 'verdict=' || f FROM verdicts v
             CROSS JOIN LATERAL (VALUES (v.verifier || ':' || v.outcome), (v.verifier), (v.outcome)) AS x (f)
             WHERE v.task_id = d.task_id AND v.candidate LIKE 'answer:%')
"""  # noqa: S608 (fixed parts)

# The same profile has the same id wherever it is written: its facets come in the order of their bytes.
_SORTED = 'ARRAY(SELECT f FROM unnest({}) AS f WHERE f IS NOT NULL ORDER BY f COLLATE "C")'
_PROFILE = r"hashtextextended(span || E'\n' || facets::text, 0) AS profile"

# Who adds a profile that another transaction is adding waits for that one's end. All add theirs in the same order, so
# that no two wait for each other; nearly always there is none to add.
_ADD_PROFILES = """
    INSERT INTO search_profiles (id, tenant, span, facets)
    SELECT DISTINCT ON (profile) profile, tenant, span, facets FROM made
    WHERE NOT EXISTS (SELECT FROM search_profiles p WHERE p.id = made.profile)
    ORDER BY profile ON CONFLICT (id) DO NOTHING
"""

# OFFSET 0 and MATERIALIZED: else what is named twice is planned and read twice, and planning is most of what it costs.
WRITE = text(rf"""
WITH found AS MATERIALIZED (
    SELECT d.task_id, d.id AS decision_id, d.tenant, d.created_at AS decided_at, t.kind, t.domain,
           array_to_string(m.models, ',') AS models, d.abstain_flag AS abstained,
           coalesce((SELECT string_agg(r, ',') FROM jsonb_array_elements_text(d.abstain_reasons) r), '') AS reasons,
           d.vote_margin, coalesce(d.merge_degree, 0) AS merge_degree, d.set_size, t.tokens_spent, t.tokens_saved,
           l.label,
           hashtextextended(d.tenant || E'\nbatch=' || t.batch_id, 0) AS batch,
           hashtextextended(d.tenant || E'\ncalibration=' || d.calibration_id, 0) AS calibration,
           hashtextextended(d.tenant || E'\nanswer=' || lower(btrim(d.answer, E' \t\r\n')), 0) AS answer,
           floor(extract(epoch FROM d.created_at) / {SPAN_S})::int AS span,
           {_SORTED.format(_FACETS)} AS facets
    FROM decisions d JOIN tasks t ON t.id = d.task_id
    CROSS JOIN LATERAL (SELECT coalesce(
        (SELECT array_agg(DISTINCT c.model) FROM chains c WHERE c.task_id = d.task_id),
        string_to_array(nullif(t.model, ''), ','), '{{}}') AS models OFFSET 0) m
    CROSS JOIN LATERAL (SELECT coalesce(
        (SELECT CASE WHEN g.correct THEN 'right' WHEN NOT g.correct THEN 'wrong'
                     WHEN g.grade = 'conflicting' THEN g.grade ELSE 'unknown' END
         FROM gradings g WHERE g.task_id = d.task_id AND g.until_at IS NULL), 'none') AS label OFFSET 0) l
    WHERE d.id = ANY(:ids) AND d.is_current
), made AS MATERIALIZED (SELECT *, {_PROFILE} FROM found), profiles AS ({_ADD_PROFILES})
INSERT INTO search_entries (task_id, decision_id, tenant, decided_at, kind, domain, models, abstained, reasons,
                            vote_margin, merge_degree, set_size, tokens_spent, tokens_saved, label,
                            profile, batch, calibration, answer)
SELECT task_id, decision_id, tenant, decided_at, kind, domain, models, abstained, reasons, vote_margin, merge_degree,
       set_size, tokens_spent, tokens_saved, label, profile, batch, calibration, answer
FROM made
ON CONFLICT (task_id) DO UPDATE SET
    decision_id = excluded.decision_id, decided_at = excluded.decided_at, models = excluded.models,
    abstained = excluded.abstained, reasons = excluded.reasons, vote_margin = excluded.vote_margin,
    merge_degree = excluded.merge_degree, set_size = excluded.set_size, tokens_spent = excluded.tokens_spent,
    tokens_saved = excluded.tokens_saved, label = excluded.label, profile = excluded.profile, batch = excluded.batch,
    calibration = excluded.calibration, answer = excluded.answer
""")  # noqa: S608 (fixed parts)

DUE = text("""
SELECT d.id FROM decisions d WHERE d.tenant = :tenant AND d.is_current AND d.id > :after
  AND (:everything OR NOT EXISTS (SELECT FROM search_entries e WHERE e.task_id = d.task_id AND e.decision_id = d.id))
ORDER BY d.id LIMIT :n
""")

# Only what labels say is made again: chains and verdicts may have been pruned since the decision.
RELABEL = text(rf"""
WITH news AS (
    SELECT e.task_id, e.tenant, e.label AS before, p.span, p.facets,
           CASE WHEN g.correct THEN 'right' WHEN NOT g.correct THEN 'wrong' WHEN g.grade = 'conflicting'
                THEN g.grade WHEN g.grade IS NOT NULL THEN 'unknown' ELSE 'none' END AS label
    FROM search_entries e JOIN search_profiles p ON p.id = e.profile
    LEFT JOIN gradings g ON g.task_id = e.task_id AND g.until_at IS NULL
    WHERE e.task_id = ANY(:ids)
), changed AS MATERIALIZED (
    SELECT task_id, tenant, span, label, {
    _SORTED.format(
        "array_remove(array_remove(facets, 'label=any'), 'label=' || before) "
        "|| ARRAY['label=' || label, CASE WHEN label <> 'none' THEN 'label=any' END]"
    )
} AS facets
    FROM news WHERE label <> before
), made AS MATERIALIZED (SELECT *, {_PROFILE} FROM changed), profiles AS ({_ADD_PROFILES})
UPDATE search_entries e SET label = made.label, profile = made.profile FROM made WHERE e.task_id = made.task_id
""")  # noqa: S608 (fixed parts)
