"""What each verifier's verdicts are worth.

Revision: 0002_verifier_rates
Revises: 0001_first_schema
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_verifier_rates"
down_revision = "0001_first_schema"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verifier_rates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("right_confirmed", sa.Integer(), nullable=False),
        sa.Column("right_refuted", sa.Integer(), nullable=False),
        sa.Column("right_abstained", sa.Integer(), nullable=False),
        sa.Column("wrong_confirmed", sa.Integer(), nullable=False),
        sa.Column("wrong_refuted", sa.Integer(), nullable=False),
        sa.Column("wrong_abstained", sa.Integer(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "right_confirmed >= 0 AND right_refuted >= 0 AND right_abstained >= 0"
            " AND wrong_confirmed >= 0 AND wrong_refuted >= 0 AND wrong_abstained >= 0",
            name=op.f("ck_verifier_rates_counts_not_negative"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verifier_rates")),
    )
    op.create_index(
        "ix_verifier_rates_latest",
        "verifier_rates",
        ["tenant", "verifier", "version", "domain", "id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_verifier_rates_latest", table_name="verifier_rates")
    op.drop_table("verifier_rates")
