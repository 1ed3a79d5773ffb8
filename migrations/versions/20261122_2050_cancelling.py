"""Batches that are being cancelled, page by page: ``expired_at`` says of them, too, that nothing is left to be ended.

Revision: 0017_cancelling
Revises: 0016_times
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_cancelling"
down_revision = "0016_times"
branch_labels = None
depends_on = None

CANCELLING = "cancelled_at IS NOT NULL AND expired_at IS NULL"


def upgrade() -> None:
    # Until now all tasks were cancelled with the mark.
    op.execute(f"UPDATE batches SET expired_at = cancelled_at WHERE {CANCELLING}")  # noqa: S608
    op.create_index("ix_batches_cancelling", "batches", ["id"], postgresql_where=sa.text(CANCELLING))


def downgrade() -> None:
    op.drop_index("ix_batches_cancelling", table_name="batches", postgresql_where=sa.text(CANCELLING))
