"""Statements that read the record as JSON for an export, and write it from staged lines for an import."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from db.models import FINAL_STATES
from db.seals import KEEPER_ROLE

SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

# A connection's own settings must not change what a file says.
FORM = (text("SET LOCAL TimeZone = 'UTC'"), text("SET LOCAL extra_float_digits = 1"))

REVISION = text("SELECT version_num FROM alembic_version")

COLUMNS = text("""
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ANY(:tables) AND is_generated = 'NEVER'
ORDER BY table_name, ordinal_position
""")

# Only what is finished is record; the rest is the business of the queue that it stands in.
_WANTED = f"""
FROM tasks t WHERE t.tenant = :tenant AND t.state IN ({", ".join(repr(state) for state in FINAL_STATES)})
  AND t.id >= :from_id AND t.id < :until_id AND (CAST(:batch AS uuid) IS NULL OR t.batch_id = :batch)
"""

FIRST_ID = text(f"SELECT t.id {_WANTED} ORDER BY t.id LIMIT 1")

PAGE = text(f"SELECT t.id {_WANTED} AND t.id > :after ORDER BY t.id LIMIT :n")

BATCH_IDS = text(f"SELECT DISTINCT t.batch_id {_WANTED}")

CALIBRATION_IDS = text(
    f"SELECT DISTINCT d.calibration_id FROM decisions d WHERE d.task_id IN (SELECT t.id {_WANTED})"  # noqa: S608
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table as it stands in a ledger file."""

    table: str
    key: tuple[str, ...]
    """Its primary key."""

    of: str = "id"
    """The column by which its rows are found: their task's, their decision's or their own id."""

    order: str = "id"

    changing: tuple[str, ...] = ()
    """Columns that two installations may differ in: they say where a row stands in a queue, not what is on record."""

    written: tuple[tuple[str, str], ...] = ()
    """Columns that an import writes otherwise than the file says, as SQL of the file's row ``r``."""

    is_compared: bool = True


BATCH = Part(table="batches", key=("id",), changing=("cancelled_at", "expired_at"))

# In force is what the installation's own labels said; what another one chose is known here, and retired.
CALIBRATION = Part(
    table="calibrations",
    key=("id",),
    # The first calibration, which every installation makes for itself, is of another time in each.
    changing=("tenant", "status", "activated_at", "run_id", "created_at"),
    written=(
        ("tenant", ":tenant"),
        ("status", "CASE WHEN r.status = 'active' THEN 'retired' ELSE r.status END"),
        ("run_id", "NULL"),
    ),
)

_LEASE = ("holder", "lease_until", "not_before", "published_at", "deliveries")
_FREE = tuple((column, "NULL") for column in _LEASE[:-1])

TASK = Part(
    table="tasks",
    key=("id",),
    changing=(*_LEASE, "urgency", "waits_since"),
    written=(*_FREE, ("waits_since", "NULL")),
)
PARTS = {
    "events": Part(table="task_events", key=("task_id", "id"), of="task_id"),
    "chains": Part(table="chains", key=("task_id", "index"), of="task_id", order='"index"'),
    "verifications": Part(
        table="verifications",
        key=("task_id", "verifier"),
        of="task_id",
        order="verifier",
        written=_FREE,
        is_compared=False,
    ),
    "verdicts": Part(
        table="verdicts",
        key=("task_id", "candidate", "verifier", "version"),
        of="task_id",
        order="verifier, candidate, version",
    ),
    "decisions": Part(
        table="decisions",
        key=("id",),
        of="task_id",
        changing=("is_current",),
        written=(
            (
                "is_current",
                "r.is_current AND NOT EXISTS "
                "(SELECT FROM decisions d WHERE d.task_id = r.task_id AND d.is_current)",
            ),
        ),
    ),
    "clusters": Part(table="clusters", key=("decision_id", "number"), of="decision_id", order="number"),
    # When a label was heard of is when it was heard of here: nights before did not know it.
    "labels": Part(
        table="labels",
        key=("id",),
        of="task_id",
        changing=("recorded_at",),
        written=(("recorded_at", "now()"),),
    ),
}
"""What belongs to a task, by its name in the file, in the order in which it is written."""

ALL = (BATCH, CALIBRATION, TASK, *PARTS.values())


def quoted(columns: tuple[str, ...], *, of: str = "") -> str:
    """Return a list of columns as SQL."""
    return ", ".join(f'{of}"{column}"' for column in columns)


def rows_as_json(part: Part, columns: tuple[str, ...]) -> str:
    """Return the query of rows by ``:ids``: what each belongs to, and the row as one line of JSON."""
    return (
        f"SELECT {part.of} AS of, row_to_json(x)::text AS row "  # noqa: S608 (names of ours)
        f"FROM (SELECT {quoted(columns)} FROM {part.table} WHERE {part.of} = ANY(:ids) "
        f"ORDER BY {part.of}, {part.order}) x"
    )


STAGE = "CREATE TEMPORARY TABLE staged (line int PRIMARY KEY, kind text NOT NULL, doc jsonb NOT NULL) ON COMMIT DROP"
STAGE_COLUMNS = ("line", "kind", "doc")
ANALYZE_STAGE = "ANALYZE staged"


def _staged(part: Part, source: str) -> str:
    """Return the rows of a part among the staged lines, as ``r`` with their ``line``."""
    return (
        f"staged s CROSS JOIN LATERAL {source} e (doc) "
        f"CROSS JOIN LATERAL jsonb_populate_record(NULL::{part.table}, e.doc) r "
        "WHERE s.kind = :kind AND s.line >= :first AND s.line < :last"
    )


def insert_staged(part: Part, source: str, columns: tuple[str, ...]) -> str:
    """Return what writes the staged rows of a part that are not there yet."""
    written = dict(part.written)
    values = ", ".join(written.get(column) or f'r."{column}"' for column in columns)
    return (
        f"INSERT INTO {part.table} ({quoted(columns)}) SELECT {values} FROM {_staged(part, source)} "  # noqa: S608
        f"ON CONFLICT ({quoted(part.key)}) DO NOTHING"
    )


def differing(part: Part, source: str, columns: tuple[str, ...]) -> str:
    """Return the query of the first staged row that is on record with another content."""
    compared = tuple(column for column in columns if column not in part.changing)
    joined = " AND ".join(f'm."{column}" = r."{column}"' for column in part.key)
    mine, theirs = (f"jsonb_build_object({_pairs(compared, of)})" for of in ("m", "r"))
    return (
        f"SELECT s.line, {mine} AS mine, {theirs} AS theirs FROM "  # noqa: S608
        + _staged(part, source).replace(" WHERE ", f" JOIN {part.table} m ON {joined} WHERE ", 1)
        + f" AND {mine} <> {theirs} ORDER BY s.line LIMIT 1"
    )


def _pairs(columns: tuple[str, ...], of: str) -> str:
    return ", ".join(f"'{column}', {of}.\"{column}\"" for column in columns)


# Events that are written later come after the imported ones.
BUMP_EVENTS = text("""
SELECT setval('task_events_id_seq', greatest((SELECT last_value FROM task_events_id_seq), :highest))
""")


# What a file brings that is not on record, looked up before it is written: decisions and labels one by one, since an
# excuse for a task would be one for whatever is slipped into it later; a task where it brings nothing else of it.
NOTE_NEWS = text("""
CREATE TEMPORARY TABLE news ON COMMIT DROP AS
SELECT CAST(e ->> 'id' AS uuid) AS about_id FROM staged s, jsonb_array_elements(s.doc -> 'decisions') e
WHERE s.kind = 'task' AND NOT EXISTS (SELECT FROM decisions d WHERE d.id = CAST(e ->> 'id' AS uuid))
UNION
SELECT CAST(e ->> 'id' AS uuid) FROM staged s, jsonb_array_elements(s.doc -> 'labels') e
WHERE s.kind = 'task' AND NOT EXISTS (SELECT FROM labels l WHERE l.id = CAST(e ->> 'id' AS uuid))
UNION
SELECT CAST(s.doc -> 'task' ->> 'id' AS uuid) FROM staged s
WHERE s.kind = 'task' AND s.doc -> 'decisions' = '[]' AND s.doc -> 'labels' = '[]'
  AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = CAST(s.doc -> 'task' ->> 'id' AS uuid))
UNION
SELECT CAST(s.doc -> 'calibration' ->> 'id' AS uuid) FROM staged s WHERE s.kind = 'calibration'
  AND NOT EXISTS (SELECT FROM calibrations c WHERE c.id = CAST(s.doc -> 'calibration' ->> 'id' AS uuid))
""")

RECORD_IMPORT = text("""
INSERT INTO imports (id, tenant, who, file_sha256, n_subjects, subjects_sha256)
SELECT :id, :tenant, :who, :file_sha256, count(*),
       encode(sha256(string_agg(uuid_send(about_id), CAST('' AS bytea) ORDER BY about_id)), 'hex')
FROM news HAVING count(*) > 0
""")

RECORD_SUBJECTS = text("INSERT INTO imported_subjects (about_id, import_id) SELECT about_id, :id FROM news")

# The temporary table is the login's own, and the keeper is another.
SHARE_NEWS = text(f"GRANT SELECT ON news TO {KEEPER_ROLE}")
