"""The tasks of a batch in the order of submission: pages of results, cancelling, deadlines.

Revision: 0006_pages_of_batches
Revises: 0005_calibration_nights
"""

from __future__ import annotations

from alembic import op

revision = "0006_pages_of_batches"
down_revision = "0005_calibration_nights"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_tasks_batch", "tasks", ["batch_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_tasks_batch", table_name="tasks")
