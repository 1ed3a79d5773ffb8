"""What a decision was made by and from; how verdicts compare with the truth, kept with the gradings.

Revision: 0011_replay
Revises: 0010_search
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_replay"
down_revision = "0010_search"
branch_labels = None
depends_on = None


NAME = "ck_gradings_grade_known"
BEFORE = "grade IN ('graded', 'unknown', 'conflicting')"
AFTER = "grade IN ('graded', 'unknown', 'conflicting', 'spread')"


def upgrade() -> None:
    op.drop_constraint(op.f(NAME), "gradings", type_="check")
    op.create_check_constraint(op.f(NAME), "gradings", AFTER)
    op.add_column(
        "decisions",
        sa.Column("method_version", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column("decisions", sa.Column("inputs", sa.Text(), nullable=True))
    # Rows that are there were graded without their verdicts, and so are due once more; those to come are not.
    op.add_column(
        "gradings", sa.Column("form", sa.SmallInteger(), server_default=sa.text("1"), nullable=False)
    )
    op.alter_column("gradings", "form", server_default=sa.text("2"))
    op.add_column(
        "gradings",
        sa.Column(
            "verdicts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_gradings_left_out",
        "gradings",
        ["tenant", "decided_at"],
        unique=False,
        postgresql_where=sa.text("grade <> 'graded'"),
    )
    op.add_column(
        "calibration_runs", sa.Column("form", sa.SmallInteger(), server_default=sa.text("1"), nullable=False)
    )
    op.alter_column("calibration_runs", "form", server_default=sa.text("2"))
    op.add_column("verifier_rates", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_verifier_rates_run_id_calibration_runs"),
        "verifier_rates",
        "calibration_runs",
        ["run_id"],
        ["id"],
    )
    op.create_index(op.f("ix_verifier_rates_run_id"), "verifier_rates", ["run_id"], unique=False)


def downgrade() -> None:
    op.execute("DELETE FROM gradings WHERE grade = 'spread'")
    op.drop_constraint(op.f(NAME), "gradings", type_="check")
    op.create_check_constraint(op.f(NAME), "gradings", BEFORE)
    op.drop_index(op.f("ix_verifier_rates_run_id"), table_name="verifier_rates")
    op.drop_constraint(
        op.f("fk_verifier_rates_run_id_calibration_runs"), "verifier_rates", type_="foreignkey"
    )
    op.drop_column("verifier_rates", "run_id")
    op.drop_column("calibration_runs", "form")
    op.drop_index(
        "ix_gradings_left_out", table_name="gradings", postgresql_where=sa.text("grade <> 'graded'")
    )
    op.drop_column("gradings", "verdicts")
    op.drop_column("gradings", "form")
    op.drop_column("decisions", "inputs")
    op.drop_column("decisions", "method_version")
