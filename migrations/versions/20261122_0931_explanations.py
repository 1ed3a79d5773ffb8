"""The explanations that a chain of SPREAD lists, each with what weighs it.

Revision: 0007_explanations
Revises: 0006_pages_of_batches
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007_explanations"
down_revision = "0006_pages_of_batches"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chains", sa.Column("explanations", postgresql.JSONB(astext_type=sa.Text()), nullable=True))


def downgrade() -> None:
    op.drop_column("chains", "explanations")
