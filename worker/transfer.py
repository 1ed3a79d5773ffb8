"""Export of a tenant's record into a file, and import of such a file into another installation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from db.migrate import knows
from db.tables import TIMES
from reasoner.decisions import AbstainReason, cluster_from_json
from worker.deciding import CODE_VERSION
from worker.errors import KeeperRefusedError, LedgerFileError, StoreBusyError, StoreRightsError
from worker.ledger_file import FORMAT, HEADER, VERSION, Line, new_file, read_lines
from worker.months import Month, month_of, month_of_id
from worker.store.entries import reindex
from worker.store.exporting import Wanted, snapshot
from worker.store.importing import Imported, import_lines
from worker.store.partitions import make_partitions
from worker.store.transactions import Store
from worker.submission.lines import TaskLine
from worker.times import WHY_NOT, in_reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A finished export."""

    path: Path
    counts: Mapping[str, int]
    """Lines by kind."""

    sha256: str
    """Of the lines, as the last one says."""


def export(store: Store, wanted: Wanted, path: Path) -> Exported:
    """Write finished tasks, and all that they rest on, as they stand at this moment.

    Raises:
        LedgerFileError: The file is there already, or cannot be written.
        StoreUnavailableError: The database is away.
    """
    with new_file(path) as writer, snapshot(store, wanted) as record:
        header = {
            "format": FORMAT,
            "version": VERSION,
            "tenant": wanted.tenant,
            "schema": record.revision,
            "code_version": CODE_VERSION,
            "exported_at": datetime.now(UTC).isoformat(),
            "batch": None if wanted.batch is None else str(wanted.batch),
            "first_task": None if record.first_id is None else str(record.first_id),
            "columns": record.columns,
        }
        writer.write(HEADER, f'"{HEADER}": {json.dumps(header, ensure_ascii=False)}')
        for row in record.batches():
            writer.write("batch", f'"batch": {row}')
        for row in record.calibrations():
            writer.write("calibration", f'"calibration": {row}')
        for members in record.tasks():
            writer.write("task", members)
        counts = dict(writer.counts)
        digest = writer.end()
    return Exported(path=path, counts=counts, sha256=digest)


def import_file(store: Store, path: Path, *, tenant: str, who: str) -> Imported:
    """Bring a file's tasks into the record; what is there already is left as it is.

    Raises:
        KeeperRefusedError: The login may not act as the keeper, who alone says what came.
        LedgerFileError: The file is damaged, newer, of another tenant, or contradicts the record; the message names
            the line, and nothing was written.
        StoreUnavailableError: The database is away.
    """
    lines = read_lines(path)
    header = next(lines).value[HEADER]
    if header.get("tenant") != tenant:
        raise LedgerFileError(
            f"line 1: the file holds the record of tenant {header.get('tenant')!r}, and this is {tenant!r} "
            "(MERGEREASONER_TENANT)"
        )
    if not knows(str(header.get("schema"))):
        raise LedgerFileError(f"line 1: the file is of a newer version (schema {header.get('schema')})")
    columns = _columns(header)
    _make_room(store, header)
    made = import_lines(
        store, (_of_tenant(line, tenant) for line in lines), tenant=tenant, who=who, columns=columns
    )
    reindex(store, tenant=tenant)  # all that have none: an import before this one may have ended just here
    return made


def _columns(header: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    found = header.get("columns")
    if not isinstance(found, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found.values()
    ):
        raise LedgerFileError("line 1: the columns are missing")
    return {table: tuple(names) for table, names in found.items()}


def _make_room(store: Store, header: Mapping[str, Any]) -> None:
    """Make the months of old tasks; where that can't be, they stand in the default partition."""
    try:
        first = UUID(str(header.get("first_task")))
    except ValueError:
        return
    month = month_of_id(first)
    now = datetime.now(UTC)
    if month is None or not Month(2000, 1) <= month <= month_of(now):
        return
    try:
        make_partitions(store, now=now, since=month)
    except (StoreBusyError, StoreRightsError, KeeperRefusedError):
        return


def _of_tenant(line: Line, tenant: str) -> Line:
    """Return ``line`` if every row of it is the tenant's.

    Raises:
        LedgerFileError: One is not. Calibrations may be everybody's.
    """
    rows: list[Any] = [line.value["batch"]] if line.kind == "batch" else []
    if line.kind in {"batch", "calibration"} and not _is_id(line.value[line.kind].get("id")):
        raise LedgerFileError(f"line {line.number}: the id of the {line.kind} is none")
    if line.kind == "task":
        rows = [
            line.value["task"],
            *(row for name in OF_TENANT for row in _objects(line, name)),
        ]
        _check_owned(line)
        _check_readable(line)
    if line.kind in {"batch", "calibration", "task"}:
        _check_times(line)
    if any(row.get("tenant") != tenant for row in rows):
        raise LedgerFileError(f"line {line.number}: a row is of another tenant than the file")
    return line


OF_TENANT = ("chains", "verdicts", "decisions", "labels")
OF_TASK = ("events", "verifications", *OF_TENANT)


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _objects(line: Line, name: str) -> list[dict[str, Any]]:
    found = _list(line, name)
    if not all(isinstance(row, dict) for row in found):
        raise LedgerFileError(f"line {line.number}: one of the {name} is no object")
    return found


def _list(line: Line, name: str) -> list[Any]:
    found = line.value.get(name)
    if not isinstance(found, list):
        raise LedgerFileError(f"line {line.number}: {name} are missing")
    return found


def _check_owned(line: Line) -> None:
    """Refuse rows that would be hung on somebody else's task or decision."""
    task_id = line.value["task"].get("id")
    if not _is_id(task_id) or not all(_is_id(row.get("id")) for row in _objects(line, "decisions")):
        raise LedgerFileError(f"line {line.number}: an id of the task or of its decisions is none")
    decisions = {row.get("id") for row in _objects(line, "decisions")}
    for name in (*OF_TASK, "clusters"):
        for row in _objects(line, name):
            is_own = (
                row.get("decision_id") in decisions if name == "clusters" else row.get("task_id") == task_id
            )
            if not is_own:
                raise LedgerFileError(f"line {line.number}: one of the {name} is not of this task")


def _check_readable(line: Line) -> None:
    """Refuse what the night, a replay and the audit could not read once it is on record."""
    try:
        TaskLine.model_validate(line.value["task"]["spec"])
        indices = {row["index"] for row in _objects(line, "chains")}
        for row in _objects(line, "decisions"):
            _check_document(row["document"], indices)
    except (LookupError, TypeError, ValueError) as error:
        raise LedgerFileError(f"line {line.number}: the task cannot be read: {error!r}"[:1000]) from error


def _check_times(line: Line) -> None:
    """Refuse a time that could be written, and not be read again."""
    parts = OF_TASK if line.kind == "task" else ()
    for row in (line.value[line.kind], *(row for name in parts for row in _objects(line, name))):
        for name in TIMES & row.keys():
            if row[name] is not None and not _is_time(row[name]):
                told = f"line {line.number}: {name} {row[name]!r} is no time, or {WHY_NOT}"
                raise LedgerFileError(told[:1000])


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and in_reach(datetime.fromisoformat(value))
    except (TypeError, ValueError):  # no time, or one without an offset
        return False


def _check_document(document: Mapping[str, Any], indices: set[Any]) -> None:
    for reason in document["abstain_reasons"]:
        AbstainReason(reason)
    for one in map(cluster_from_json, document["clusters"]):
        float(one.posterior)
        if indices and not indices.issuperset(one.members):  # a pruned task has no chains
            raise ValueError(f"cluster {one.id} has a chain that is none of the task's")
