"""Proofs: one decision with its chains and verdicts, for somebody who has no database and does not trust ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from worker.errors import SealError
from worker.hashes.leaves import GROUPS, NO_SALTS, PARTS, Row, Salts, digests_of, split
from worker.hashes.merkle import path_to, root_of
from worker.seals.checking import Tally, verify_task
from worker.store.seals import Entry, entries_about, leaves_of, rows_of, salts_of, seals_after
from worker.store.transactions import Store


def prove(store: Store, task_id: UUID, *, with_texts: bool = True) -> dict[str, Any]:
    """Return the proof of a task's newest sealed decision, as JSON values.

    Args:
        store: The database.
        task_id: Of the task.
        with_texts: Otherwise prompts, chains' texts, answers and evidence are left out, and only their salted hashes
            are told.

    Raises:
        SealError: No decision of it is sealed, it was pruned, or the record differs from the seals.
    """
    entries = [entry for entry in entries_about(store, task_id) if entry.kind == "decision"]
    if not entries:
        raise SealError("no decision of this task is sealed yet; `audit seal` seals what is due")
    differing = [one for one in verify_task(store, Tally(), task_id) if one.is_difference]
    if differing:
        names = ", ".join(sorted({finding.row for finding in differing}))
        raise SealError(f"nothing to prove: the record differs from its seals ({names}); see `audit verify`")
    entry = max(entries, key=lambda one: (one.at, one.subject_id))
    roots = [root_of(split(leaves)) for leaves in leaves_of(store, entry.seal_number)]
    salts = salts_of(store, [task_id]).get(task_id, NO_SALTS)
    rows = {row.name: row for row in rows_of(store, [entry]).get(entry.subject_id, ())}
    if f"decision {entry.subject_id}" not in rows:
        raise SealError("nothing to prove: the decision was pruned, and only its hash is left")
    return {
        "decision": str(entry.subject_id),
        "rows": [_told(name, leaf, rows, salts, with_texts=with_texts) for name, leaf in _leaves(entry)],
        "index": entry.position,
        "path": [one.hex() for one in path_to(roots, entry.position)],
        "seals": [seal.header for seal in seals_after(store, entry.seal_number - 1)],
    }


def _leaves(entry: Entry) -> list[tuple[str, bytes]]:
    return list(zip(entry.names, split(entry.leaves), strict=True))


def _told(
    name: str, leaf: bytes, rows: Mapping[str, Row], salts: Salts, *, with_texts: bool
) -> dict[str, Any]:
    """Return a row; of one that was pruned only its leaf is left."""
    row = rows.get(name)
    if row is None:
        return {"name": name, "leaf": leaf.hex()}
    groups = zip(GROUPS[row.kind], row.texts, digests_of(row, salts), strict=True)
    return {"name": name, "groups": [_group(row, *one, salts, with_texts=with_texts) for one in groups]}


def _group(
    row: Row, group: str, text: str, digest: bytes, salts: Salts, *, with_texts: bool
) -> dict[str, str]:
    if (row.kind, group) not in PARTS:
        return {"text": text}
    salt = None if f"{row.name}/{group}" in salts.redacted else salts.of(row.name, group)
    if salt is None or not with_texts:
        return {"salted": digest.hex()}
    return {"text": text, "salt": salt.hex()}
