"""Runs of the calibration, what came into force when, labels that only say right or wrong, and gradings.

Revision: 0005_calibration_nights
Revises: 0004_traffic
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_calibration_nights"
down_revision = "0004_traffic"
branch_labels = None
depends_on = None

# What is in force already came into force at some time; nights before the upgrade can be told apart by it.
FIRST_EVENTS = """
INSERT INTO calibration_events (id, calibration_id, to_status, who, why, at)
SELECT id, id, 'active', 'migration', why, coalesce(activated_at, created_at) FROM calibrations WHERE status = 'active'
"""


def upgrade() -> None:
    op.create_table(
        "calibration_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_runs")),
    )
    op.create_index("ix_calibration_runs_as_of", "calibration_runs", ["tenant", "as_of"], unique=False)
    op.create_table(
        "calibration_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("calibration_id", sa.Uuid(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["calibration_id"],
            ["calibrations.id"],
            name=op.f("fk_calibration_events_calibration_id_calibrations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_events")),
    )
    op.create_index(
        "ix_calibration_events_calibration_id", "calibration_events", ["calibration_id", "id"], unique=False
    )
    op.create_table(
        "gradings",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("label_id", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("grade", sa.Text(), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("answerable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("confidence", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("vote_margin", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("truth", sa.SmallInteger(), nullable=True),
        sa.Column("masses", sa.ARRAY(sa.Double()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "right_chains", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "wrong_chains", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "models",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("weighted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("n_decisions", sa.Integer(), nullable=False),
        sa.Column("n_labels", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "grade IN ('graded', 'unknown', 'conflicting')", name=op.f("ck_gradings_grade_known")
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_gradings_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "known_at", name=op.f("pk_gradings")),
    )
    newest_first: list[Any] = [
        sa.literal_column("decided_at DESC"),
        sa.literal_column("decision_id DESC"),
    ]
    op.create_index("ix_gradings_window", "gradings", ["tenant", "domain", *newest_first], unique=False)
    op.create_index("ix_gradings_tenant_window", "gradings", ["tenant", *newest_first], unique=False)
    op.add_column("calibrations", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.add_column(
        "calibrations",
        sa.Column(
            "report",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.create_index(op.f("ix_calibrations_run_id"), "calibrations", ["run_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_calibrations_run_id_calibration_runs"),
        "calibrations",
        "calibration_runs",
        ["run_id"],
        ["id"],
    )
    op.add_column("labels", sa.Column("correct", sa.Boolean(), nullable=True))
    op.add_column("labels", sa.Column("decision_id", sa.Uuid(), nullable=True))
    op.add_column(
        "labels",
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute("UPDATE labels SET recorded_at = at")
    op.create_index("ix_labels_recorded_at", "labels", ["tenant", "recorded_at"], unique=False)
    op.execute(FIRST_EVENTS)


def downgrade() -> None:
    op.drop_index("ix_labels_recorded_at", table_name="labels")
    op.drop_column("labels", "recorded_at")
    op.drop_column("labels", "decision_id")
    op.drop_column("labels", "correct")
    op.drop_constraint(op.f("fk_calibrations_run_id_calibration_runs"), "calibrations", type_="foreignkey")
    op.drop_index(op.f("ix_calibrations_run_id"), table_name="calibrations")
    op.drop_column("calibrations", "report")
    op.drop_column("calibrations", "run_id")
    op.drop_table("gradings")
    op.drop_table("calibration_events")
    op.drop_table("calibration_runs")
