"""Statements that find what may go and take it away.

Rules come as arrays, one element a tenant: its name, the time before which its record may go, whether tasks with a
label keep everything, and the pruning under which what goes is listed.
"""

from __future__ import annotations

from sqlalchemy import text

from db.models import FINAL_STATES

_FINAL = ", ".join(repr(state) for state in FINAL_STATES)

_RULED = """
FROM tasks t LEFT JOIN unnest(CAST(:tenants AS text[]), CAST(:older_than AS timestamptz[]),
                              CAST(:until_ids AS uuid[]), CAST(:keep_labelled AS boolean[]),
                              CAST(:pruning_ids AS uuid[]))
     AS r (tenant, older_than, until_id, keep_labelled, pruning_id) ON r.tenant = t.tenant
"""

# What becomes of a task, the strongest reason to stay first. Where only evidence goes, it goes from labelled tasks
# too unless they are kept; a task itself stays while a label, and so a calibration, rests on it.
_FATE = f"""
CASE
    WHEN r.tenant IS NULL THEN 'other_tenant'
    WHEN t.state NOT IN ({_FINAL}) THEN 'unfinished'
    WHEN t.id >= r.until_id OR coalesce(t.finished_at, t.created_at) >= r.older_than
         OR EXISTS (SELECT FROM decisions d WHERE d.task_id = t.id AND d.created_at >= r.older_than) THEN 'younger'
    WHEN EXISTS (SELECT FROM pruned_tasks p WHERE p.task_id = t.id AND p.what = :what) THEN 'gone'
    WHEN (r.keep_labelled OR :what = 'task') AND EXISTS (SELECT FROM labels l WHERE l.task_id = t.id)
         THEN 'labelled'
    WHEN NOT :unsealed AND EXISTS (
        SELECT FROM decisions d WHERE d.task_id = t.id AND NOT EXISTS (
            SELECT FROM seal_entries e WHERE e.about_id = d.task_id AND e.subject_id = d.id)) THEN 'unsealed'
    ELSE 'goes'
END
"""  # noqa: S608 (our own words)

_WITHIN = " WHERE t.id >= :from_id AND t.id < :until_id "

FATES = text(f"SELECT {_FATE} AS fate, t.tenant, count(*) AS n {_RULED} {_WITHIN} GROUP BY 1, 2")

# The rows are locked, so that nobody retries or labels a task while its record goes. Who had to be waited for may have
# done just that, unseen by a statement that began before; so what becomes of a task is asked again once it is held.
NEXT_IDS = text(f"""
SELECT t.id {_RULED} {_WITHIN} AND {_FATE} = 'goes' ORDER BY t.id LIMIT :n FOR UPDATE OF t
""")

HOLD_MONTH = text(f"SELECT count(*) FROM (SELECT FROM tasks t {_WITHIN} FOR UPDATE) held")  # noqa: S608 (our own words)

_LIST = f"""
INSERT INTO pruned_tasks (task_id, what, tenant, pruning_id)
SELECT t.id, :what, t.tenant, r.pruning_id {_RULED} {_WITHIN} AND {_FATE} = 'goes'
"""

LIST_PRUNED = text(f"{_LIST} AND t.id = ANY(:ids) RETURNING task_id")

LIST_MONTH = text(_LIST)

# Of the tables whose rows go with their task; the last are those that others refer to.
_DELETE = "WITH gone AS (DELETE FROM {table} WHERE {column} = ANY(:ids) RETURNING {tenant} AS tenant) "
_BY_TENANT = "SELECT tenant, count(*) AS n FROM gone GROUP BY tenant"


def delete(table: str, *, column: str = "task_id") -> str:
    """Return what deletes the rows of ``:ids`` and tells how many went of each tenant."""
    return _DELETE.format(table=table, column=column, tenant="tenant") + _BY_TENANT


EVIDENCE = ("chains", "verdicts")

DELETE_EVIDENCE = {table: text(delete(table)) for table in EVIDENCE}

DELETE_DECISIONS = {table: text(delete(table)) for table in ("gradings", "labels", "decisions")}
DELETE_TASKS = text(delete("tasks", column="id"))

DELETE_UNOWNED = (
    text("DELETE FROM clusters WHERE decision_id IN (SELECT id FROM decisions WHERE task_id = ANY(:ids))"),
    text("DELETE FROM verifications WHERE task_id = ANY(:ids)"),
    text("DELETE FROM task_events WHERE task_id = ANY(:ids)"),
)

# A dropped partition takes the triggers of its foreign key off the table of tasks.
HASTE = text("SET LOCAL lock_timeout = '500ms'")

HOLD = text("LOCK TABLE tasks, chains, verdicts, task_events IN ACCESS EXCLUSIVE MODE")

# Who is to stay after all, since the plan was made: labelled, retried or imported into the month.
HAS_UNLISTED = text("""
SELECT EXISTS (SELECT FROM tasks t WHERE t.id >= :from_id AND t.id < :until_id
               AND NOT EXISTS (SELECT FROM pruned_tasks p WHERE p.task_id = t.id AND p.what = :what))
""")

HAS_TASKS = text("SELECT EXISTS (SELECT FROM tasks WHERE id >= :from_id AND id < :until_id)")

COUNT_OF = "SELECT tenant, count(*) AS n FROM {name} GROUP BY tenant"

DROP = "DROP TABLE {name}"

BEGIN = text("""
INSERT INTO prunings (id, tenant, what, older_than, policy, who)
VALUES (:id, :tenant, :what, :older_than, CAST(:policy AS jsonb), :who)
""")

FINISH = text("""
UPDATE prunings SET finished_at = clock_timestamp(), counts = CAST(:counts AS jsonb), n_tasks = listed.n,
       tasks_sha256 = encode(sha256(listed.ids), 'hex')
FROM (SELECT count(*) AS n, coalesce(string_agg(uuid_send(task_id), ''::bytea ORDER BY task_id), '') AS ids
      FROM pruned_tasks WHERE pruning_id = :id) listed
WHERE prunings.id = :id
""")

UNFINISHED = text("SELECT id FROM prunings WHERE finished_at IS NULL ORDER BY id")

PRUNINGS = text("SELECT * FROM prunings WHERE tenant = :tenant ORDER BY id DESC LIMIT :n")

PRUNED_UNDER = text("""
SELECT p.task_id, p.what, p.pruning_id FROM pruned_tasks p WHERE p.tenant = :tenant AND p.task_id = ANY(:ids)
ORDER BY p.task_id, p.what
""")

POLICIES = text(
    "SELECT tenant, evidence_months, task_months, keep_labelled, who, at FROM retention_policies ORDER BY tenant"
)

SET_POLICY = text("""
INSERT INTO retention_policies (tenant, evidence_months, task_months, keep_labelled, who)
VALUES (:tenant, :evidence_months, :task_months, :keep_labelled, :who)
ON CONFLICT (tenant) DO UPDATE SET evidence_months = :evidence_months, task_months = :task_months,
    keep_labelled = :keep_labelled, who = :who, at = now()
""")

CLEAR_POLICY = text("DELETE FROM retention_policies WHERE tenant = :tenant")

TENANTS = text("""
WITH RECURSIVE walk AS (
    (SELECT tenant FROM batches ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT b.tenant FROM batches b WHERE b.tenant > walk.tenant ORDER BY b.tenant LIMIT 1)
    FROM walk WHERE walk.tenant IS NOT NULL
)
SELECT tenant FROM walk WHERE tenant IS NOT NULL
""")
