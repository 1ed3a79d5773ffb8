"""Who gave which answer, kept with the gradings: a night decides pools again without their chains.

Revision: 0012_ballots
Revises: 0011_replay
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_ballots"
down_revision = "0011_replay"
branch_labels = None
depends_on = None

COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {"ballot": sa.SmallInteger(), "ballot_masses": sa.Double()}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(
            "gradings",
            sa.Column(name, postgresql.ARRAY(kind), server_default=sa.text("'{}'"), nullable=False),
        )
    _left_out(include=["domain", "grade", "known_at", "until_at"])
    # What is there is of an older form, and so is graded once more.
    for table in ("gradings", "calibration_runs"):
        op.alter_column(table, "form", server_default=sa.text("3"))


def downgrade() -> None:
    _left_out(include=[])
    for table in ("gradings", "calibration_runs"):
        op.alter_column(table, "form", server_default=sa.text("2"))
    op.execute("UPDATE gradings SET form = 2 WHERE form = 3")
    op.execute("UPDATE calibration_runs SET form = 2 WHERE form = 3")
    for name in reversed(COLUMNS):
        op.drop_column("gradings", name)


def _left_out(include: list[str]) -> None:
    """Make the index of what a night only counts once more; with these columns, it does so from the index alone."""
    op.drop_index("ix_gradings_left_out", table_name="gradings")
    op.create_index(
        "ix_gradings_left_out",
        "gradings",
        ["tenant", "decided_at"],
        unique=False,
        postgresql_include=include,
        postgresql_where=sa.text("grade <> 'graded'"),
    )
