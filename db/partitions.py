"""Partitions of the tables that grow without bound: listing them, making one, and moving rows into it.

``{parent}`` and ``{name}`` are names of ours and never anybody's input.
"""

from __future__ import annotations

from sqlalchemy import text

PARTITIONED = ("chains", "verdicts", "task_events")
"""By range of ``task_id``; each has a partition ``_default`` for what no month was made for."""

REFERRING = ("chains", "verdicts")
"""Those with a foreign key to ``tasks``."""

# One at a time; the server drops the lock with the connection if we crash.
TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtext('merge-reasoner partitions'))")

UNLOCK = text("SELECT pg_advisory_unlock(hashtext('merge-reasoner partitions'))")

IS_OWNER = text("""
SELECT bool_and(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class
WHERE oid = ANY(CAST(:parents AS regclass[]))
""")

# Rows are the server's estimate, since counting millions to print a table would be dear. Sizes and bounds take a lock
# that a change of the table holds up.
LIST = text("""
SELECT p.relname AS parent, c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound,
       pg_total_relation_size(c.oid) AS size_bytes,
       greatest(c.reltuples, coalesce(s.n_live_tup, 0))::bigint AS n_rows
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE i.inhparent = ANY(CAST(:parents AS regclass[])) ORDER BY p.relname, c.relname
""")

DEFAULT_HAS_ROWS = "SELECT EXISTS (SELECT FROM {parent}_default)"

# The first row that may be moved, and the row before which so many stand; both by the primary key.
LOWEST = """
SELECT task_id FROM {parent}_default WHERE task_id >= :from_id AND task_id < :until_id ORDER BY task_id LIMIT 1
"""

FURTHER = """
SELECT task_id FROM {parent}_default WHERE task_id >= :from_id AND task_id < :until_id
ORDER BY task_id OFFSET :n LIMIT 1
"""

# A table that becomes a partition: the same columns, defaults, keys and checks. It stands alone until it is attached,
# so that making it holds up nobody; the check tells the server that what it holds belongs there.
CREATE = """
CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES INCLUDING STORAGE)
"""

BOUND = "ALTER TABLE {name} ADD CONSTRAINT {name}_bounds CHECK (task_id >= '{from_id}' AND task_id < '{until_id}')"

REFER = """
ALTER TABLE {name} ADD CONSTRAINT fk_{parent}_task_id_tasks
FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE
"""

# A truncated partition does not ask its parent's triggers.
REFUSE_TRUNCATE = """
CREATE TRIGGER {name}_sealed_truncate BEFORE TRUNCATE ON {name} FOR EACH STATEMENT
EXECUTE FUNCTION seals_refuse_truncate()
"""

ALWAYS = "ALTER TABLE {name} ENABLE ALWAYS TRIGGER {name}_sealed_truncate"

DROP_UNFINISHED = "DROP TABLE IF EXISTS {name}"

ATTACH = "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{from_id}') TO ('{until_id}')"

UNBOUND = "ALTER TABLE {name} DROP CONSTRAINT {name}_bounds"

# With this the server need not look through the default partition, under a lock, for rows of the new one.
FORBID = """
ALTER TABLE {parent}_default ADD CONSTRAINT {name}_elsewhere
CHECK (task_id < '{from_id}' OR task_id >= '{until_id}') NOT VALID
"""

# The same within the transaction that has just taken those rows out: looked through at once, while only who writes to
# the default partition waits.
PROVE = """
ALTER TABLE {parent}_default ADD CONSTRAINT {name}_elsewhere CHECK (task_id < '{from_id}' OR task_id >= '{until_id}')
"""

VALIDATE = "ALTER TABLE {parent}_default VALIDATE CONSTRAINT {name}_elsewhere"

ALLOW = "ALTER TABLE {parent}_default DROP CONSTRAINT IF EXISTS {name}_elsewhere"

# Attaching locks the table of tasks. Every transaction of the queue locks it before any other table, so who attaches
# does the same, or else gives up soon: two that wait for each other would cost the queue its transaction.
HOLD_TASKS = "LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE"

HASTE = "SET LOCAL lock_timeout = '300ms'"

SIZE_OF_DEFAULT = "SELECT pg_relation_size('{parent}_default')"

# Who writes to the default partition waits from here on; readers go on until the rows change their place.
HOLD_DEFAULT = "LOCK TABLE {parent}_default IN SHARE ROW EXCLUSIVE MODE"

COPY_OUT = """
INSERT INTO {name} SELECT * FROM {parent}_default WHERE task_id >= :from_id AND task_id < :until_id
"""

TAKE_OUT = "DELETE FROM {parent}_default WHERE task_id >= :from_id AND task_id < :until_id"

ANALYZE = "ANALYZE {name}"

# For the metrics, which are read every few seconds: from the catalogue and the server's statistics, and without a lock.
STANDING = text("""
SELECT p.relname AS parent,
       coalesce(max(s.n_live_tup) FILTER (WHERE c.relname = p.relname || '_default'), 0)::bigint AS n_unsorted,
       count(*) FILTER (WHERE c.relname ~ '_\\d{4}_\\d{2}$'
                        AND c.relname > p.relname || to_char(now() AT TIME ZONE 'UTC', '"_"YYYY_MM')) AS n_ahead
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE p.relname = ANY(:parents) AND p.relnamespace = current_schema()::regnamespace
GROUP BY p.relname ORDER BY p.relname
""")
