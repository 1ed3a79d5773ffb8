"""Traffic: turns between tenants, pauses, rate limits, deadlines, the clock's jobs and parked messages.

Revision: 0004_traffic
Revises: 0003_reference_documents
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_traffic"
down_revision = "0003_reference_documents"
branch_labels = None
depends_on = None

IN_BACKLOG = "state = 'queued' AND published_at IS NULL AND not_before IS NULL"
NOT_YET = "state = 'queued' AND published_at IS NULL AND not_before IS NOT NULL"
UNDER_WAY = (
    "state IN ('generating', 'verifying', 'deciding') OR (state = 'queued' AND published_at IS NOT NULL)"
)
WAITING = "state IN ('queued', 'generating', 'verifying', 'deciding')"
WITH_DEADLINE = "deadline_at IS NOT NULL AND expired_at IS NULL"


def upgrade() -> None:
    op.add_column("batches", sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("batches", sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_batches_deadline", "batches", ["deadline_at"], postgresql_where=sa.text(WITH_DEADLINE)
    )
    op.add_column("tasks", sa.Column("model", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "tasks", sa.Column("urgency", sa.SmallInteger(), server_default=sa.text("9"), nullable=False)
    )
    op.drop_index("ix_tasks_waiting", table_name="tasks", postgresql_where=sa.text(WAITING))
    op.create_index(
        "ix_tasks_backlog",
        "tasks",
        ["route", "tenant", "model", "priority", "id"],
        postgresql_where=sa.text(IN_BACKLOG),
    )
    op.create_index("ix_tasks_under_way", "tasks", ["state", "route"], postgresql_where=sa.text(UNDER_WAY))
    op.create_index("ix_tasks_not_before", "tasks", ["not_before"], postgresql_where=sa.text(NOT_YET))
    op.create_index(
        "ix_tasks_failed", "tasks", ["tenant", "id"], postgresql_where=sa.text("state = 'failed'")
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.Text(), server_default="", nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("window_tasks", sa.Integer(), nullable=True),
        sa.Column("broker", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
    )
    op.create_table(
        "rate_limits",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("per_s", sa.Double(), nullable=False),
        sa.Column("burst", sa.Double(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("refilled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_rate_limits")),
    )
    op.create_table(
        "beat_jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_run_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_beat_jobs")),
    )
    op.create_table(
        "parked_messages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("redriven_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked_messages")),
    )
    op.create_index(
        "ix_parked_messages_waiting",
        "parked_messages",
        ["id"],
        postgresql_where=sa.text("redriven_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_parked_messages_waiting",
        table_name="parked_messages",
        postgresql_where=sa.text("redriven_at IS NULL"),
    )
    for table in ("parked_messages", "beat_jobs", "rate_limits", "queues"):
        op.drop_table(table)
    op.drop_index("ix_tasks_failed", table_name="tasks", postgresql_where=sa.text("state = 'failed'"))
    op.drop_index("ix_tasks_not_before", table_name="tasks", postgresql_where=sa.text(NOT_YET))
    op.drop_index("ix_tasks_under_way", table_name="tasks", postgresql_where=sa.text(UNDER_WAY))
    op.drop_index("ix_tasks_backlog", table_name="tasks", postgresql_where=sa.text(IN_BACKLOG))
    op.create_index(
        "ix_tasks_waiting",
        "tasks",
        ["state", "route", sa.literal_column("priority DESC"), "id"],
        postgresql_where=sa.text(WAITING),
    )
    op.drop_column("tasks", "urgency")
    op.drop_column("tasks", "model")
    op.drop_index("ix_batches_deadline", table_name="batches", postgresql_where=sa.text(WITH_DEADLINE))
    op.drop_column("batches", "expired_at")
    op.drop_column("batches", "deadline_at")
