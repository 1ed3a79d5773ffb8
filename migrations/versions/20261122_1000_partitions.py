"""What may go, what went and what came: policies, prunings, imports; months are undone on the way down.

The partitions themselves are made by the clock's job and by `db partitions`, since which months are needed depends on
the day.

Revision: 0009_partitions
Revises: 0008_seals
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009_partitions"
down_revision = "0008_seals"
branch_labels = None
depends_on = None

TOLD = ("prunings", "pruned_tasks", "imports", "imported_subjects")
PARTITIONED = ("chains", "verdicts", "task_events")

MONTHS = sa.text("""
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST(:parent AS regclass) AND c.relname <> :parent || '_default' ORDER BY c.relname
""")


def upgrade() -> None:
    op.create_table(
        "retention_policies",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("evidence_months", sa.Integer(), nullable=True),
        sa.Column("task_months", sa.Integer(), nullable=True),
        sa.Column("keep_labelled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "evidence_months > 0 AND task_months > 0", name=op.f("ck_retention_policies_months_positive")
        ),
        sa.CheckConstraint(
            "task_months >= evidence_months", name=op.f("ck_retention_policies_tasks_outlive_evidence")
        ),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_retention_policies")),
    )
    op.create_table(
        "prunings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("older_than", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("n_tasks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tasks_sha256", sa.Text(), nullable=True),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint("what IN ('evidence', 'task')", name=op.f("ck_prunings_what_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prunings")),
    )
    op.create_index("ix_prunings_tenant", "prunings", ["tenant", "id"], unique=False)
    op.create_table(
        "pruned_tasks",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("pruning_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("what IN ('evidence', 'task')", name=op.f("ck_pruned_tasks_what_known")),
        sa.ForeignKeyConstraint(
            ["pruning_id"], ["prunings.id"], name=op.f("fk_pruned_tasks_pruning_id_prunings")
        ),
        sa.PrimaryKeyConstraint("task_id", "what", name=op.f("pk_pruned_tasks")),
    )
    op.create_index("ix_pruned_tasks_pruning_id", "pruned_tasks", ["pruning_id"], unique=False)
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("n_subjects", sa.Integer(), nullable=False),
        sa.Column("subjects_sha256", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_table(
        "imported_subjects",
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_imported_subjects_import_id_imports")
        ),
        sa.PrimaryKeyConstraint("about_id", "import_id", name=op.f("pk_imported_subjects")),
    )
    op.create_index("ix_imported_subjects_import_id", "imported_subjects", ["import_id"], unique=False)
    for table in TOLD:
        but_for = "keeper" if table == "prunings" else "nobody"
        op.execute(
            f"CREATE TRIGGER {table}_sealed_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION seals_refuse('{but_for}')"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_sealed_change")
    # What went, and what came, is told by the keeper: a worker's word would hide what somebody removed or slipped in.
    op.execute(f"REVOKE INSERT ON retention_policies, {', '.join(TOLD)} FROM mergereasoner_worker")


def downgrade() -> None:
    op.drop_index("ix_imported_subjects_import_id", table_name="imported_subjects")
    op.drop_table("imported_subjects")
    op.drop_table("imports")
    op.drop_index("ix_pruned_tasks_pruning_id", table_name="pruned_tasks")
    op.drop_table("pruned_tasks")
    op.drop_index("ix_prunings_tenant", table_name="prunings")
    op.drop_table("prunings")
    op.drop_table("retention_policies")
    connection = op.get_bind()
    for parent in PARTITIONED:
        for (name,) in connection.execute(MONTHS, {"parent": parent}).all():
            # Not a move of rows within the table: sealed ones could not be taken out of where they stand.
            op.execute(f'ALTER TABLE {parent} DETACH PARTITION "{name}"')
            op.execute(f'INSERT INTO {parent} SELECT * FROM "{name}"')  # noqa: S608 (names from the catalogue)
            op.execute(f'DROP TABLE "{name}"')
