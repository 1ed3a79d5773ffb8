"""The explanations that a chain of SPREAD lists, each with what weighs it.

Revision: 0006_explanations
Revises: 0005_calibration_nights
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_explanations"
down_revision = "0005_calibration_nights"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chains", sa.Column("explanations", postgresql.JSONB(astext_type=sa.Text()), nullable=True))


def downgrade() -> None:
    op.drop_column("chains", "explanations")
