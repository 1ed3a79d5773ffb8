"""What the seals are made from: which rows are due, and each row as the exact text that is hashed.

The text of a field group is what Postgres prints for a ``jsonb`` value: keys by length and then by bytes, none twice,
one space after ``:`` and ``,``, numbers as plain decimals. A float stands there with the fewest digits that give the
same float again, NaN and infinities as strings, a time in UTC with microseconds. Columns are listed one by one, so
that a column that a later migration adds changes no hash.
"""

from __future__ import annotations

from sqlalchemy import TextClause, text

from db.seals import AHEAD


def _time(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _object(alias: str, *columns: str, times: tuple[str, ...] = ()) -> str:
    """Return the SQL of an object with ``columns`` of ``alias``, as text."""
    pairs = [f"""'{name}', {alias}."{name}\"""" for name in columns]
    pairs += [f"'{name}', {_time(f'{alias}.{name}')}" for name in times]
    return f"jsonb_build_object({', '.join(pairs)})::text"


# A connection's own settings must not change what is hashed.
FORM = text("SET LOCAL extra_float_digits = 1")

TASK_ROWS = text(f"""
SELECT t.id, (jsonb_build_object('options', t.spec -> 'options') || {
    _object(
        "t", "id", "batch_id", "tenant", "custom_id", "kind", "mode", "domain", times=("created_at",)
    ).removesuffix("::text")
})::text AS fields, t.spec::text AS prompt
FROM tasks t WHERE t.id = ANY(:ids)
""")  # noqa: S608 (columns' names only)

CHAIN_ROWS = text(f"""
SELECT c.task_id, c.index AS number, {
    _object(
        "c",
        "task_id",
        "index",
        "tenant",
        "logprob",
        "n_tokens",
        "finish_reason",
        "model",
        "revision",
        "seed",
        "temperature",
        "prompt_variant",
        "engine",
        "latency_s",
        "attempt",
        times=("created_at",),
    )
} AS fields, to_jsonb(c.text)::text AS text,
  CASE WHEN c.explanations IS NULL THEN coalesce(to_jsonb(c.answer), 'null')
       ELSE jsonb_build_object('answer', c.answer, 'explanations', c.explanations) END::text AS answer
FROM chains c WHERE c.task_id = ANY(:ids)
""")  # noqa: S608

VERDICT_ROWS = text(f"""
SELECT v.task_id, v.verifier, v.version, v.candidate, {
    _object(
        "v",
        "task_id",
        "candidate",
        "verifier",
        "version",
        "tenant",
        "outcome",
        "claim",
        "limits",
        "elapsed_s",
        "attempt",
        times=("created_at",),
    )
} AS fields, {_object("v", "reason", "evidence")} AS evidence
FROM verdicts v WHERE v.task_id = ANY(:ids)
""")  # noqa: S608

DECISION_ROWS = text(f"""
SELECT d.id, d.task_id, ({
    _object(
        "d",
        "id",
        "task_id",
        "tenant",
        "abstain_flag",
        "abstain_reasons",
        "confidence",
        "vote_margin",
        "merge_degree",
        "set_size",
        "best_cluster",
        "calibration_id",
        "configuration",
        "code_version",
        "attempt",
        times=("created_at",),
    ).removesuffix("::text")
} || jsonb_build_object('method_version', r.row -> 'method_version', 'inputs', r.row -> 'inputs'))::text AS fields,
  coalesce(to_jsonb(d.answer), 'null')::text AS answer, d.document::text AS document
FROM decisions d CROSS JOIN LATERAL (SELECT to_jsonb(d) - 'document' AS row) r
WHERE d.id = ANY(:ids)
""")  # noqa: S608

CLUSTER_ROWS = text(f"""
SELECT c.decision_id, c.number, {
    _object("c", "number", "members", "score", "posterior", "in_set", "outcome")
} AS fields, to_jsonb(c.answer)::text AS answer
FROM clusters c WHERE c.decision_id = ANY(:ids)
""")  # noqa: S608

LABEL_ROWS = text(f"""
SELECT l.id, {
    _object("l", "id", "task_id", "tenant", "correct", "decision_id", "source", times=("at", "recorded_at"))
} AS fields, l.answers::text AS answers
FROM labels l WHERE l.id = ANY(:ids)
""")  # noqa: S608

CALIBRATION_ROWS = text(f"""
SELECT c.id, {
    _object(
        "c",
        "id",
        "tenant",
        "domain",
        "method",
        "why",
        "alpha",
        "target_risk",
        "run_id",
        "n_labels",
        "lambda",
        "tau_margin",
        "tau_conf",
        "tau_score",
        times=("window_from", "window_until", "created_at"),
    )
} AS fields, {_object("c", "model_weights", "curve", "drift", "report")} AS report
FROM calibrations c WHERE c.id = ANY(:ids)
""")  # noqa: S608

REDACTION_ROWS = text(f"""
SELECT r.id, {_object("r", "id", "tenant", "task_id", "who", "why", "details", times=("at",))} AS fields
FROM redactions r WHERE r.id = ANY(:ids)
""")  # noqa: S608

PRUNING_ROWS = text(f"""
SELECT p.id, {
    _object(
        "p",
        "id",
        "tenant",
        "what",
        "policy",
        "who",
        "n_tasks",
        "tasks_sha256",
        "counts",
        times=("older_than", "at", "finished_at"),
    )
} AS fields
FROM prunings p WHERE p.id = ANY(:ids)
""")  # noqa: S608

IMPORT_ROWS = text(f"""
SELECT i.id, {
    _object("i", "id", "tenant", "who", "file_sha256", "n_subjects", "subjects_sha256", times=("at",))
} AS fields
FROM imports i WHERE i.id = ANY(:ids)
""")  # noqa: S608

# An import brings rows of times that were sealed long ago, so the whole record is looked through once after it.
_UNSEALED = "NOT EXISTS (SELECT FROM seal_entries e WHERE e.about_id = {about} AND e.subject_id = {id})"


BEGINNING = "TIMESTAMPTZ '0001-01-02 00:00:00+00'"  # what is older, Python cannot read; see LOST


def _due(kind: str, table: str, *, about: str, at: str, since: str) -> str:
    unsealed = _UNSEALED.format(about=f"s.{about}", id="s.id")
    return (
        f"(SELECT '{kind}' AS kind, s.id AS subject_id, s.{about} AS about_id, s.{at} AS at FROM {table} s "  # noqa: S608
        f"WHERE s.{at} >= {since} AND s.{at} < :until AND {unsealed} ORDER BY s.{at}, s.id LIMIT :n)"
    )


_SEALED = {
    "decision": ("decisions", "task_id", "created_at"),
    "label": ("labels", "task_id", "recorded_at"),
    "calibration": ("calibrations", "id", "created_at"),
    "redaction": ("redactions", "id", "at"),
    "pruning": ("prunings", "id", "finished_at"),
    "import": ("imports", "id", "at"),
}
"""By kind of entry: the table, the column of what it is about, and of when it was written."""

# Few are calibrations, redactions, prunings and imports, so these are looked through from their beginning.
_MANY = frozenset({"decision", "label"})

DUE = text(
    " UNION ALL ".join(
        _due(kind, table, about=about, at=at, since=":since" if kind in _MANY else BEGINNING)
        for kind, (table, about, at) in _SEALED.items()
    )
    + " ORDER BY at, subject_id LIMIT :n"
)

DUE_OF_TASK = text(
    " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, s.id AS subject_id, s.task_id AS about_id, s.{at} AS at FROM {table} s "  # noqa: S608
        f"WHERE s.task_id = :id AND s.{at} >= {BEGINNING} AND s.{at} < :until "
        f"AND {_UNSEALED.format(about='s.task_id', id='s.id')}"
        for kind, (table, _, at) in _SEALED.items()
        if kind in _MANY
    )
)

# What no seal will find: older than all that it looks for, or of a time to come.
LOST = text(
    " UNION ALL ".join(
        f"(SELECT '{kind}' AS kind, s.id AS subject_id, s.{about} AS about_id, CAST(s.{at} AS text) AS at "  # noqa: S608
        f"FROM {table} s WHERE (s.{at} < {BEGINNING} OR s.{at} > now() + interval '{AHEAD}') "
        f"AND (CAST(:id AS uuid) IS NULL OR s.{about} = :id) AND {_UNSEALED.format(about=f's.{about}', id='s.id')} "
        "LIMIT :n)"
        for kind, (table, about, at) in _SEALED.items()
    )
)

# While a large backlog is sealed the planner's numbers of the entries are old, and it would read all of them.
BY_INDEX = text(
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)

# A row bears the time at which its transaction began, so a seal reaches only as far as the oldest transaction that is
# open; six hours back at most, lest a forgotten session stops the sealing. Of a session whose times this login may not
# see (it lacks pg_read_all_stats, or the session tells none), ten minutes are assumed; and one that has only just begun
# may not be told of yet.
HORIZON = text("""
SELECT greatest(now() - interval '6 hours', least(now() - make_interval(secs => :settle_s), (
    SELECT min(CASE WHEN backend_type IS NULL OR state = 'disabled' THEN now() - interval '10 minutes'
                    WHEN state <> 'idle' THEN xact_start END) - interval '1 microsecond'
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_type = 'client backend' OR backend_type IS NULL))))
""")

TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtext('merge-reasoner seal'))")
UNLOCK = text("SELECT pg_advisory_unlock(hashtext('merge-reasoner seal'))")

_SEAL = "SELECT number, header, hash, root, n_entries, until_at, sealed_at, who FROM seals"
ALL_SEALS = text(f"{_SEAL} WHERE number > :after ORDER BY number")
LAST_SEAL = text(f"{_SEAL} ORDER BY number DESC LIMIT 1")

INSERT_SEAL = text("""
INSERT INTO seals (number, header, hash, root, n_entries, until_at, sealed_at, who)
VALUES (:number, :header, :hash, :root, :n_entries, :until_at, :sealed_at, :who)
""")

SEEDS = text("SELECT task_id, number, seed, kept FROM seal_salts WHERE task_id = ANY(:ids)")

ENTRIES = text("""
SELECT seal_number, position, kind, subject_id, about_id, at, names, leaves, marks FROM seal_entries
WHERE seal_number = :number AND position >= :first AND position < :last ORDER BY position
""")

ENTRIES_ABOUT = text("""
SELECT seal_number, position, kind, subject_id, about_id, at, names, leaves, marks FROM seal_entries
WHERE about_id = :id ORDER BY seal_number, position
""")

LEAVES = text("SELECT leaves FROM seal_entries WHERE seal_number = :number ORDER BY position")

# Entries that no seal counts.
STRAY_ENTRIES = text("""
SELECT e.seal_number, e.position, e.kind, e.subject_id, e.about_id FROM seal_entries e
WHERE NOT EXISTS (SELECT FROM seals s WHERE s.number = e.seal_number AND e.position >= 0 AND e.position < s.n_entries)
ORDER BY e.seal_number, e.position LIMIT :n
""")

NAMES_ABOUT = text("SELECT about_id, subject_id, names FROM seal_entries WHERE about_id = ANY(:ids)")

REDACTED = text("SELECT id, task_id, details FROM redactions WHERE task_id = ANY(:ids) ORDER BY at, id")

IMPORTED = text("""
SELECT s.about_id, s.import_id, e.seal_number FROM imported_subjects s
LEFT JOIN seal_entries e ON e.about_id = s.import_id AND e.subject_id = s.import_id
WHERE s.about_id = ANY(:ids) ORDER BY s.import_id
""")

PRUNED = text(f"""
SELECT t.task_id, t.what, t.pruning_id, greatest({BEGINNING}, least(p.older_than, now())) AS older_than
FROM pruned_tasks t JOIN prunings p ON p.id = t.pruning_id WHERE t.task_id = ANY(:ids)
""")  # noqa: S608

# Until it is finished no seal takes it in, and nobody can tell whether its list is the one that it had.
UNFINISHED = text("""
SELECT p.id FROM prunings p WHERE p.finished_at IS NULL AND EXISTS (
    SELECT FROM pruned_tasks t WHERE t.pruning_id = p.id AND (CAST(:id AS uuid) IS NULL OR t.task_id = :id))
ORDER BY p.id LIMIT :n
""")

# What a pruning and an import are told to have touched, against the hash over that list which is sealed with them.
FORGED_LISTS = text("""
SELECT 'pruning' AS kind, p.id FROM prunings p WHERE p.finished_at IS NOT NULL AND p.tasks_sha256 IS DISTINCT FROM (
    SELECT encode(sha256(coalesce(string_agg(uuid_send(t.task_id), ''::bytea ORDER BY t.task_id), '')), 'hex')
    FROM pruned_tasks t WHERE t.pruning_id = p.id)
UNION ALL
SELECT 'import', i.id FROM imports i WHERE i.subjects_sha256 IS DISTINCT FROM (
    SELECT encode(sha256(coalesce(string_agg(uuid_send(s.about_id), ''::bytea ORDER BY s.about_id), '')), 'hex')
    FROM imported_subjects s WHERE s.import_id = i.id)
""")

HAS_UNSEALED_IMPORT = text(
    f"SELECT EXISTS (SELECT FROM imports s WHERE {_UNSEALED.format(about='s.id', id='s.id')})"  # noqa: S608
)

N_UNSEALED = text(f"""
SELECT count(*) FROM (SELECT FROM decisions s WHERE s.created_at >= :since AND {
    _UNSEALED.format(about="s.task_id", id="s.id")
} LIMIT :n) due
""")  # noqa: S608

TASK_STANDING = text(f"""
SELECT t.state,
       (SELECT count(*) FROM decisions s WHERE s.task_id = t.id AND {
    _UNSEALED.format(about="s.task_id", id="s.id")
}) AS n_decisions,
       (SELECT count(*) FROM labels s WHERE s.task_id = t.id AND {
    _UNSEALED.format(about="s.task_id", id="s.id")
}) AS n_labels
FROM tasks t WHERE t.id = :id
""")  # noqa: S608

ROWS_BY_KIND: dict[str, TextClause] = {
    "label": LABEL_ROWS,
    "calibration": CALIBRATION_ROWS,
    "redaction": REDACTION_ROWS,
    "pruning": PRUNING_ROWS,
    "import": IMPORT_ROWS,
}
