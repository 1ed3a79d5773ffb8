"""What is sealed bears a time that a seal can reach.

Who looks along the time never meets a row of the year -infinity, nor one of a time that does not come. Where a table
holds such a row already, its check is for new rows only and the old one is named by `audit verify`: a migration that
fails would not say which it is. Decisions and labels are read once: a second or two per million rows.

Revision: 0016_times
Revises: 0015_limits
"""

from __future__ import annotations

from alembic import op

revision = "0016_times"
down_revision = "0015_limits"
branch_labels = None
depends_on = None

REACH = "{0} BETWEEN TIMESTAMPTZ '1900-01-01 00:00:00+00' AND TIMESTAMPTZ '9000-01-01 00:00:00+00'"

TIMES = {
    "decisions": ("created_at",),
    "labels": ("recorded_at", "at"),
    "calibrations": ("created_at",),
    "redactions": ("at",),
    "prunings": ("finished_at",),
    "imports": ("at",),
}

# What workers may add to, and the column by which it is sealed. Of a row that does not lie ahead nothing is called.
WRITTEN = {"decisions": "created_at", "labels": "recorded_at", "calibrations": "created_at"}
AHEAD = "5 minutes"

FUNCTION = """
CREATE FUNCTION seals_refuse_ahead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % is refused: it bears a time to come', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$
"""

VALIDATE = """
DO $$ BEGIN
    ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_times_within_reach;
EXCEPTION WHEN check_violation THEN
    RAISE WARNING '{table} holds rows of times that no seal reaches; audit verify names them';
END $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    for table, columns in TIMES.items():
        condition = " AND ".join(REACH.format(column) for column in columns)
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_times_within_reach CHECK ({condition}) NOT VALID"
        )
        op.execute(VALIDATE.format(table=table))
    for table, column in WRITTEN.items():
        op.execute(
            f"CREATE TRIGGER {table}_sealed_ahead BEFORE INSERT ON {table} FOR EACH ROW "
            f"WHEN (NEW.{column} > now() + interval '{AHEAD}') EXECUTE FUNCTION seals_refuse_ahead()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_sealed_ahead")


def downgrade() -> None:
    for table in WRITTEN:
        op.execute(f"DROP TRIGGER {table}_sealed_ahead ON {table}")
    for table in TIMES:
        op.drop_constraint(op.f(f"ck_{table}_times_within_reach"), table, type_="check")
    op.execute("DROP FUNCTION seals_refuse_ahead()")
