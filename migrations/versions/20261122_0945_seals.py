"""Seals over the record, and who may change what: roles, grants and triggers.

Two roles of the cluster are needed, `mergereasoner_worker` and `mergereasoner_keeper`; they are made here when they
are missing and the migrating login may make roles. The way down takes their rights in this database and leaves the
roles, which other databases of the cluster may use.

Revision: 0008_seals
Revises: 0007_explanations
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

revision = "0008_seals"
down_revision = "0007_explanations"
branch_labels = None
depends_on = None

WORKER, KEEPER = "mergereasoner_worker", "mergereasoner_keeper"

# Of two databases that are migrated at once, one finds the role made in between.
CREATE_ROLE = """
DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""

# Which updates are asked about. A task's state changes often, so there only statements that name a sealed column fire
# anything; of the others whatever changes but these columns, so that a column of a later migration is held, too.
ASKED = {
    "tasks": ("OF id, batch_id, tenant, custom_id, kind, mode, domain, spec, created_at", ""),
    "decisions": ("", "is_current"),
    "calibrations": ("", "status, activated_at"),
    "chains": ("", ""),
    "verdicts": ("", ""),
    "clusters": ("", ""),
    "labels": ("", ""),
}

# Whether a row that is to be changed is sealed, of `old`.
IS_SEALED = {
    "tasks": "SELECT FROM seal_entries e WHERE e.about_id = ($1).id",
    "chains": "SELECT FROM seal_entries e WHERE e.about_id = ($1).task_id",
    "verdicts": "SELECT FROM seal_entries e WHERE e.about_id = ($1).task_id",
    "labels": "SELECT FROM seal_entries e WHERE e.about_id = ($1).task_id AND e.subject_id = ($1).id",
    "decisions": "SELECT FROM seal_entries e WHERE e.about_id = ($1).task_id AND e.subject_id = ($1).id",
    "calibrations": "SELECT FROM seal_entries e WHERE e.about_id = ($1).id AND e.subject_id = ($1).id",
    "clusters": (
        "SELECT FROM decisions d JOIN seal_entries e ON e.about_id = d.task_id AND e.subject_id = d.id "
        "WHERE d.id = ($1).decision_id"
    ),
}

APPEND_ONLY = ("seals", "seal_entries", "redactions")

# The role as it was set: within a cascade `current_user` is the table's owner. Setting it takes membership. The path
# is pinned, lest a temporary table of the same name answers in place of ours.
FUNCTIONS = """
CREATE FUNCTION seals_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE
    sealed boolean;
BEGIN
    IF current_user <> '{keeper}' AND current_setting('role') <> '{keeper}' THEN
        EXECUTE 'SELECT EXISTS (' || TG_ARGV[0] || ')' INTO sealed USING OLD;
        IF sealed THEN
            RAISE EXCEPTION '% of a sealed row of % is refused', lower(TG_OP), TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege', HINT = 'redaction and pruning go through SET ROLE {keeper}';
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION seals_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_ARGV[0] = 'keeper' AND (current_user = '{keeper}' OR current_setting('role') = '{keeper}') THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of % is refused: it is only ever added to', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION seals_refuse_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM seals) THEN
        RAISE EXCEPTION 'truncate of % is refused: it may hold sealed rows', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$
"""

TRUNCATED_TOO = (
    "chains_default",
    "verdicts_default",
)  # a truncated partition does not ask its parent's triggers

# What workers add to, and what they change of it.
ADDED_TO = (
    "batches, tasks, task_events, chains, verifications, verdicts, decisions, clusters, labels, gradings, "
    "calibrations, calibration_runs, calibration_events, verifier_rates, collections, documents, passages, queues, "
    "rate_limits, beat_jobs, parked_messages, seals, seal_entries, seal_salts"
)
CHANGED = (
    "batches, verifications, gradings, calibration_runs, collections, documents, passages, queues, rate_limits, "
    "beat_jobs, parked_messages"
)
CHANGED_COLUMNS = {
    "tasks": (
        "route, state, model, priority, urgency, attempt, deliveries, holder, lease_until, not_before, published_at, "
        "tokens_spent, tokens_saved, error, finished_at"
    ),
    "decisions": "is_current",
    "calibrations": "status, activated_at",
}
DELETED_FROM = "verifications, gradings, collections, documents, passages, rate_limits"


def upgrade() -> None:
    _make_roles()
    op.create_table(
        "seals",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("n_entries", sa.Integer(), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seals")),
    )
    op.create_table(
        "seal_entries",
        sa.Column("seal_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seal_number", "position", name=op.f("pk_seal_entries")),
        sa.UniqueConstraint("about_id", "subject_id", name=op.f("uq_seal_entries_about_id")),
    )
    op.create_table(
        "seal_salts",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=True),
        sa.Column("kept", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("pk_seal_salts")),
    )
    op.create_table(
        "redactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redactions")),
    )
    op.create_index("ix_redactions_task_id", "redactions", ["task_id"], unique=False)
    op.create_index("ix_labels_sealing", "labels", ["recorded_at", "id"], unique=False)
    schema = _schema()
    op.execute(FUNCTIONS.format(schema=schema, keeper=KEEPER))
    _make_triggers()
    _grant(schema)


def _schema() -> str:
    return str(op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one())


def _make_roles() -> None:
    connection = op.get_bind()
    for role in (WORKER, KEEPER):
        there = sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
        if connection.execute(there, {"role": role}).scalar_one():
            continue
        try:
            with connection.begin_nested():
                connection.execute(sa.text(CREATE_ROLE.format(role=role)))
        except ProgrammingError as error:
            raise PermissionError(
                f"the role {role} is missing and this login may not make it. Have it made once for the cluster "
                f"(CREATE ROLE {WORKER} NOLOGIN; CREATE ROLE {KEEPER} NOLOGIN), then migrate again; nothing was changed"
            ) from error


def _make_triggers() -> None:
    for table, (of, free) in ASKED.items():
        when = (
            f"WHEN (to_jsonb(OLD) - '{{{free}}}'::text[] <> to_jsonb(NEW) - '{{{free}}}'::text[])"
            if free
            else ""
        )
        asks = IS_SEALED[table].replace("'", "''")
        op.execute(
            f"CREATE TRIGGER {table}_sealed_update BEFORE UPDATE {of} ON {table} "
            f"FOR EACH ROW {when} EXECUTE FUNCTION seals_refuse_change('{asks}')"
        )
        op.execute(
            f"CREATE TRIGGER {table}_sealed_delete BEFORE DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION seals_refuse_change('{asks}')"
        )
        _always(table, "sealed_update", "sealed_delete")
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_sealed_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION seals_refuse('nobody')"
        )
        _always(table, "sealed_change")
    op.execute(
        "CREATE TRIGGER seal_salts_sealed_change BEFORE UPDATE OR DELETE ON seal_salts "
        "FOR EACH ROW EXECUTE FUNCTION seals_refuse('keeper')"
    )
    _always("seal_salts", "sealed_change")
    for table in (*ASKED, *APPEND_ONLY, "seal_salts", *TRUNCATED_TOO):
        op.execute(
            f"CREATE TRIGGER {table}_sealed_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION seals_refuse_truncate()"
        )
        _always(table, "sealed_truncate")


def _always(table: str, *triggers: str) -> None:
    """Have them fire in sessions that call themselves replicas, too."""
    for trigger in triggers:
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{trigger}")


def _grant(schema: str) -> None:
    op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {WORKER}, {KEEPER}")
    op.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {WORKER}, {KEEPER}")
    op.execute(f"GRANT INSERT ON {ADDED_TO} TO {WORKER}")
    op.execute(f"GRANT UPDATE ON {CHANGED} TO {WORKER}")
    for table, columns in CHANGED_COLUMNS.items():
        op.execute(f"GRANT UPDATE ({columns}) ON {table} TO {WORKER}")
    op.execute(f"GRANT DELETE ON {DELETED_FROM} TO {WORKER}")
    op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {WORKER}, {KEEPER}")
    op.execute(f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {KEEPER}")
    op.execute(f"REVOKE UPDATE, DELETE ON {', '.join(APPEND_ONLY)} FROM {KEEPER}")
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {KEEPER}")
    # Of tables that later migrations and the clock's job make (months): workers read and add, until told otherwise.
    op.execute(
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT ON TABLES TO {WORKER}, {KEEPER}"
    )
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT UPDATE, DELETE ON TABLES TO {KEEPER}")
    op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {WORKER}, {KEEPER}")


def downgrade() -> None:
    schema = _schema()
    for role in (WORKER, KEEPER):
        op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {role}")
        op.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON SEQUENCES FROM {role}")
        op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}")
        op.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role}")
        op.execute(f"REVOKE ALL ON SCHEMA {schema} FROM {role}")
    for table in TRUNCATED_TOO:
        op.execute(f"DROP TRIGGER {table}_sealed_truncate ON {table}")
    for table in ASKED:
        for trigger in ("sealed_update", "sealed_delete", "sealed_truncate"):
            op.execute(f"DROP TRIGGER {table}_{trigger} ON {table}")
    op.drop_index("ix_labels_sealing", table_name="labels")
    op.drop_index("ix_redactions_task_id", table_name="redactions")
    for table in ("redactions", "seal_salts", "seal_entries", "seals"):
        op.drop_table(table)
    for function in ("seals_refuse_change", "seals_refuse", "seals_refuse_truncate"):
        op.execute(f"DROP FUNCTION {function}()")
