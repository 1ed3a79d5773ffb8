"""Turns that are remembered from sweep to sweep, since when a task could begin, and rates that can be reckoned with.

Adding the column writes no row of a large table anew.

Revision: 0015_limits
Revises: 0014_numbers
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_limits"
down_revision = "0014_numbers"
branch_labels = None
depends_on = None

# One rate beyond these stopped every sweep; it is brought within them.
WITHIN = """
UPDATE rate_limits SET per_s = least(greatest(per_s, 1e-6), 1e9), burst = least(greatest(burst, 1), 1e9)
WHERE NOT (per_s BETWEEN 1e-6 AND 1e9 AND burst BETWEEN 1 AND 1e9)
"""
IN_REACH = "per_s BETWEEN 1e-6 AND 1e9 AND burst BETWEEN 1 AND 1e9"

GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mergereasoner_worker') THEN
        GRANT UPDATE (waits_since) ON tasks TO mergereasoner_worker;
        GRANT SELECT, INSERT, UPDATE ON turns TO mergereasoner_worker;
    END IF;
END $$
"""


def upgrade() -> None:
    op.add_column("tasks", sa.Column("waits_since", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "turns",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", name=op.f("pk_turns")),
    )
    op.execute(GRANT)
    op.execute(WITHIN)
    op.create_check_constraint(op.f("ck_rate_limits_in_reach"), "rate_limits", IN_REACH)


def downgrade() -> None:
    op.drop_constraint(op.f("ck_rate_limits_in_reach"), "rate_limits", type_="check")
    op.drop_table("turns")
    op.drop_column("tasks", "waits_since")
