"""Statements around a restore."""

from __future__ import annotations

from sqlalchemy import text

IS_EMPTY = text("""
SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p'))
""")

MISSING_ROLES = text("""
SELECT r FROM unnest(CAST(:roles AS text[])) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) ORDER BY r
""")

# What the broker held when the backup was made is no longer what it holds: the first sweep publishes everything.
FORGET_BROKER = text("UPDATE queues SET broker = 'before the restore'")

# A backup names whom the old owner's later tables were to be open to; this says it of the one who restores.
DEFAULT_PRIVILEGES = (
    "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO mergereasoner_worker, mergereasoner_keeper",
    "ALTER DEFAULT PRIVILEGES GRANT UPDATE, DELETE ON TABLES TO mergereasoner_keeper",
    "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO mergereasoner_worker, mergereasoner_keeper",
)

ANALYZE = text("ANALYZE")
