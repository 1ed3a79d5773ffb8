"""What a night reads of each grading's numbers, in one piece.

The table is written anew: a few seconds for a million gradings, in which no night can run.

Revision: 0014_numbers
Revises: 0013_profiles
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_numbers"
down_revision = "0013_profiles"
branch_labels = None
depends_on = None

NUMBERS = (
    "float8send(confidence) || float8send(vote_margin) || int2send(coalesce(truth, '-1'::smallint)) || "
    "int4send(cardinality(right_chains)) || int4send(cardinality(wrong_chains)) || int4send(cardinality(masses)) || "
    "int4send(cardinality(ballot)) || int4send(cardinality(ballot_masses)) || int4send(jsonb_array_length(models)) || "
    "boolsend(coalesce(correct, false)) || boolsend(answerable) || boolsend(weighted) || uuid_send(decision_id) || "
    "uuid_send(label_id)"
)


def upgrade() -> None:
    op.add_column(
        "gradings",
        sa.Column("numbers", sa.LargeBinary(), sa.Computed(NUMBERS, persisted=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("gradings", "numbers")
