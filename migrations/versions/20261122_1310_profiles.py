"""Profiles of search entries in the place of an inverted index over hashed facets.

Entries are made from the entries that are there, not from the record: verdicts may have been pruned since.

Revision: 0013_profiles
Revises: 0012_ballots
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013_profiles"
down_revision = "0012_ballots"
branch_labels = None
depends_on = None

SPAN_S = 2_419_200
WEEK_S = 604_800
MARGIN_EDGES = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0"
DEGREE_EDGES = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"
KEYS = ("batch", "calibration", "answer")

# Of the facets that an entry has as hashes, those that stand in no column.
KNOWN = """
CREATE TEMPORARY TABLE known ON COMMIT DROP AS
SELECT tenant, array_agg(facet) AS facets, array_agg(hashtextextended(tenant || E'\\n' || facet, 0)) AS hashes
FROM (SELECT DISTINCT tenant FROM search_entries) tenants CROSS JOIN (
    SELECT 'outcome=' || o AS facet FROM unnest(ARRAY['confirmed', 'refuted', 'abstained', 'none']) o
    UNION ALL SELECT 'verdict=' || o FROM unnest(ARRAY['confirmed', 'refuted', 'abstained']) o
    UNION ALL SELECT 'verdict=' || v FROM unnest(ARRAY['code', 'embedding', 'entailment', 'facts', 'math']) v
    UNION ALL SELECT 'verdict=' || v || ':' || o
    FROM unnest(ARRAY['code', 'embedding', 'entailment', 'facts', 'math']) v,
         unnest(ARRAY['confirmed', 'refuted', 'abstained']) o
) words GROUP BY tenant
"""

COLUMNS = (
    "task_id, decision_id, tenant, decided_at, kind, domain, models, abstained, reasons, vote_margin, merge_degree, "
    "set_size, tokens_spent, tokens_saved, label"
)

# Entries of a span with the same hashes but for the keys, and in one bucket of the margin, have the same profile: its
# words are found once for all.
MOVED = rf"""
CREATE UNLOGGED TABLE moved AS
SELECT {", ".join("e." + name for name in COLUMNS.split(", "))}, x.*, hash_array_extended(
           array_remove(array_remove(array_remove(array_remove(e.facets, x.week), x.batch), x.calibration), x.answer),
           x.span * 16 + x.margin) AS alike
FROM search_entries e JOIN tasks t ON t.id = e.task_id JOIN decisions d ON d.id = e.decision_id
CROSS JOIN LATERAL (
    SELECT floor(extract(epoch FROM e.decided_at) / {SPAN_S})::int AS span,
           hashtextextended(e.tenant || E'\nweek=' || floor(extract(epoch FROM e.decided_at) / {WEEK_S})::int, 0)
               AS week,
           width_bucket(e.vote_margin, CAST('{{{MARGIN_EDGES}}}' AS float8[])) AS margin,
           hashtextextended(e.tenant || E'\nbatch=' || t.batch_id, 0) AS batch,
           hashtextextended(e.tenant || E'\ncalibration=' || d.calibration_id, 0) AS calibration,
           hashtextextended(e.tenant || E'\nanswer=' || lower(btrim(d.answer, E' \t\r\n')), 0) AS answer
    OFFSET 0) x
ORDER BY e.task_id
"""  # noqa: S608 (fixed parts)

ALIKE = rf"""
CREATE UNLOGGED TABLE alike AS
SELECT *, hashtextextended(span || E'\n' || facets::text, 0) AS profile FROM (
    SELECT one.alike, e.tenant, one.span, ARRAY(SELECT f FROM unnest(
               ARRAY['tenant=' || e.tenant, 'kind=' || e.kind, 'domain=' || e.domain, 'mode=' || t.mode,
                     'state=' || CASE WHEN e.abstained THEN 'abstained' ELSE 'answered' END,
                     'margin=' || one.margin,
                     'degree=' || width_bucket(e.merge_degree, CAST('{{{DEGREE_EDGES}}}' AS float8[])),
                     'label=' || e.label, CASE WHEN e.label <> 'none' THEN 'label=any' END]
               || ARRAY(SELECT 'why=' || r FROM unnest(string_to_array(nullif(e.reasons, ''), ',')) r)
               || ARRAY(SELECT 'model=' || m FROM unnest(string_to_array(nullif(e.models, ''), ',')) m)
               || ARRAY(SELECT k.facet FROM unnest(known.facets, known.hashes) AS k (facet, hash)
                        WHERE k.hash = ANY(e.facets))
           ) AS f WHERE f IS NOT NULL ORDER BY f COLLATE "C") AS facets
    FROM (SELECT alike, span, margin, min(task_id::text)::uuid AS task_id FROM moved GROUP BY alike, span, margin) one
    JOIN search_entries e USING (task_id) JOIN known USING (tenant) JOIN tasks t ON t.id = e.task_id
) made
"""  # noqa: S608 (fixed parts)

GRANT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mergereasoner_worker') THEN
        GRANT SELECT, INSERT, UPDATE ON search_entries TO mergereasoner_worker;
        GRANT SELECT, INSERT ON search_profiles TO mergereasoner_worker;
    END IF;
END $$
"""

# Back again: the same hashes as before, but for the order of each entry's.
FACETS = rf"""
SELECT {COLUMNS}, ARRAY(
    SELECT hashtextextended(e.tenant || E'\n' || f, 0) FROM unnest(
        ARRAY['week=' || floor(extract(epoch FROM e.decided_at) / {WEEK_S})::int,
              'margin=' || floor(e.vote_margin * 10)::int]
        || ARRAY(SELECT f FROM unnest(p.facets) f WHERE f NOT LIKE 'margin=%' AND f NOT LIKE 'tenant=%')
    ) f) || array_remove(ARRAY[e.batch, e.calibration, e.answer], NULL) AS facets
FROM search_entries e JOIN LATERAL (SELECT facets FROM search_profiles p WHERE p.id = e.profile) p ON true
ORDER BY e.task_id
"""  # noqa: S608 (fixed parts)


def upgrade() -> None:
    op.create_table(
        "search_profiles",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("facets", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_profiles")),
    )
    _new_entries(
        sa.Column("profile", sa.BigInteger(), nullable=False),
        *(sa.Column(key, sa.BigInteger(), nullable=True) for key in KEYS),
    )
    op.execute(KNOWN)
    op.execute("SET LOCAL maintenance_work_mem = '256MB'")
    # All three are read in the order of their ids, not here and there.
    op.execute("SET LOCAL enable_hashjoin = off")
    op.execute(MOVED)
    op.execute("SET LOCAL enable_hashjoin = on")
    op.execute(ALIKE)
    # The order of ids is nearly that of time, so that a day's entries lie together.
    op.execute(
        f"INSERT INTO new_entries SELECT {COLUMNS}, profile, {', '.join(KEYS)} FROM moved JOIN "  # noqa: S608 (fixed parts)
        "(SELECT alike, profile FROM alike) alike USING (alike) ORDER BY task_id"
    )
    op.execute(
        "INSERT INTO search_profiles (id, tenant, span, facets) "
        "SELECT DISTINCT profile, tenant, span, facets FROM alike"
    )
    op.execute("DROP TABLE moved, alike")
    _put_in_place()
    op.create_index(
        "ix_search_profiles_facets",
        "search_profiles",
        ["facets"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.create_index(
        "ix_search_entries_newest",
        "search_entries",
        ["tenant", "decided_at", "task_id"],
        postgresql_include=["profile"],
    )
    op.create_index("ix_search_entries_profile", "search_entries", ["profile", "decided_at", "task_id"])
    for key in KEYS:
        op.create_index(
            f"ix_search_entries_{key}",
            "search_entries",
            [key, "decided_at", "task_id"],
            postgresql_include=["profile"],
            postgresql_where=sa.text(f"{key} IS NOT NULL"),
        )
    op.execute(GRANT)
    # Until they are analysed and vacuumed, plans are guesses and the indexes alone don't do.
    op.execute("ANALYZE search_entries, search_profiles")


def downgrade() -> None:
    _new_entries(sa.Column("facets", sa.ARRAY(sa.BigInteger()), nullable=False))
    op.execute(f"INSERT INTO new_entries {FACETS}")
    _put_in_place()
    op.drop_table("search_profiles")
    op.create_index("ix_search_entries_newest", "search_entries", ["tenant", "decided_at", "task_id"])
    op.create_index(
        "ix_search_entries_facets",
        "search_entries",
        ["facets"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "256"},
    )
    op.execute(GRANT.replace("GRANT SELECT, INSERT ON search_profiles TO mergereasoner_worker;", ""))


def _new_entries(*columns: sa.Column[Any]) -> None:
    op.create_table(
        "new_entries",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default=sa.text("'default'"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("abstained", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("vote_margin", sa.Double(), nullable=False),
        sa.Column("merge_degree", sa.Double(), nullable=False),
        sa.Column("set_size", sa.SmallInteger(), nullable=False),
        sa.Column("tokens_spent", sa.Integer(), nullable=False),
        sa.Column("tokens_saved", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        *columns,
    )


def _put_in_place() -> None:
    op.drop_table("search_entries")
    op.rename_table("new_entries", "search_entries")
    op.create_primary_key(op.f("pk_search_entries"), "search_entries", ["task_id"])
    op.create_foreign_key(
        op.f("fk_search_entries_task_id_tasks"),
        "search_entries",
        "tasks",
        ["task_id"],
        ["id"],
        ondelete="CASCADE",
    )
