"""The search: an entry for each decided task, and saved queries.

Revision: 0010_search
Revises: 0009_partitions
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010_search"
down_revision = "0009_partitions"
branch_labels = None
depends_on = None

FILL = r"""
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
WHERE d.is_current ORDER BY d.created_at, d.task_id
"""

# Entries change when labels come, and queries are kept and forgotten; where the workers have a role of their own.
GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mergereasoner_worker') THEN
        GRANT SELECT, INSERT, UPDATE ON search_entries TO mergereasoner_worker;
        GRANT SELECT, INSERT, UPDATE, DELETE ON saved_queries TO mergereasoner_worker;
    END IF;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "search_entries",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("abstained", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("vote_margin", sa.Double(), nullable=False),
        sa.Column("merge_degree", sa.Double(), nullable=False),
        sa.Column("set_size", sa.SmallInteger(), nullable=False),
        sa.Column("tokens_spent", sa.Integer(), nullable=False),
        sa.Column("tokens_saved", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("facets", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_search_entries_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_search_entries")),
    )
    op.create_table(
        "saved_queries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_saved_queries")),
    )
    op.execute(GRANT)
    op.execute(FILL)
    op.create_index("ix_search_entries_newest", "search_entries", ["tenant", "decided_at", "task_id"])
    op.create_index(
        "ix_search_entries_facets",
        "search_entries",
        ["facets"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "256"},
    )
    op.create_index(
        "ix_tasks_failed_at", "tasks", ["tenant", "finished_at"], postgresql_where=sa.text("state = 'failed'")
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_failed_at", table_name="tasks", postgresql_where=sa.text("state = 'failed'"))
    op.drop_table("saved_queries")
    op.drop_table("search_entries")
