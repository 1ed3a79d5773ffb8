"""Redaction: personal text goes out of a task, and its seals still verify."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from worker.errors import SealError
from worker.hashes.leaves import GROUPS, NO_SALTS, PARTS, Row, Salts, digests_of
from worker.seals.checking import Tally, verify_task
from worker.seals.forms import redacted_spec, without_answers
from worker.store.entries import write_entries
from worker.store.keeping import record_redaction, redaction, replace_texts, texts_of_task
from worker.store.seals import Entry, entries_about, rows_in, salts_of, unsealed_of
from worker.store.texts import REDACTED
from worker.store.transactions import Store

ALL_PARTS = ("prompt", "chains", "evidence", "answers")
"""What can be redacted of a task: all that was asked with its references and metadata; the chains' texts; what
verdicts quote; every answer, of chains, clusters, decisions and labels."""


def redact(
    store: Store, task_id: UUID, *, tenant: str, parts: Sequence[str], who: str, why: str
) -> dict[str, int]:
    """Replace texts of a task, delete their salts and put it on record; return how many texts of each part went.

    Raises:
        SealError: The task is not done, has a decision or label that is in no seal, or differs from its seals.
        KeeperRefusedError: This login may not act as the keeper.
    """
    waiting = unsealed_of(store, task_id)
    if waiting:
        raise SealError(f"not redacted: the task {waiting}")
    tally = Tally()
    differing = [finding for finding in verify_task(store, tally, task_id) if finding.is_difference]
    if differing:
        names = ", ".join(sorted({finding.row for finding in differing}))
        raise SealError(f"not redacted: the record differs from its seals ({names}); see `audit verify`")
    entries = entries_about(store, task_id)
    salts = salts_of(store, [task_id]).get(task_id, NO_SALTS)
    with redaction(store) as connection:
        found = texts_of_task(connection, task_id)
        before = _rows(rows_in(connection, entries), entries)
        for kind, values in _replacements(found, task_id, parts):
            replace_texts(connection, kind, values)
        # An entry can be found by its answer: nothing is left by which a guess could be confirmed.
        write_entries(connection, [row["id"] for row in found["decisions"]])
        after = _rows(rows_in(connection, entries), entries)
        texts = _texts(before, after, salts, parts)
        kept = _kept(before, salts, gone={*texts, *salts.redacted})
        record_redaction(
            connection,
            task_id=task_id,
            tenant=tenant,
            who=who,
            why=why,
            details={"parts": sorted(parts), "texts": texts},
            kept=kept if salts.n_seeds else None,
        )
    return {
        part: sum(
            PARTS[place.partition(" ")[0].partition("/")[0], place.rpartition("/")[2]] == part
            for place in texts
        )
        for part in parts
    }


def _rows(rows: Mapping[UUID, list[Row]], entries: Sequence[Entry]) -> dict[str, Row]:
    """Return the rows that entries hold, by name; a row in two entries is the same in both."""
    names = {name for entry in entries for name in entry.names}
    return {row.name: row for of in rows.values() for row in of if row.name in names}


def _texts(
    before: Mapping[str, Row], after: Mapping[str, Row], salts: Salts, parts: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return what goes on record of each text that went: its salted hash, and the hash of what is there."""
    found = {}
    for name, row in before.items():
        digests = digests_of(row, salts)
        for i, group in enumerate(GROUPS[row.kind]):
            if PARTS.get((row.kind, group)) in parts:
                now = hashlib.sha256(after[name].texts[i].encode()).hexdigest()
                found[f"{name}/{group}"] = {"salted": digests[i].hex(), "now": now}
    return found


def _kept(rows: Mapping[str, Row], salts: Salts, *, gone: set[str]) -> dict[str, str]:
    """Return the salts of the texts that are left."""
    kept = {}
    for name, row in rows.items():
        for group in GROUPS[row.kind]:
            salt = salts.of(name, group) if (row.kind, group) in PARTS else None
            if salt is not None and f"{name}/{group}" not in gone:
                kept[f"{name}/{group}"] = salt.hex()
    return kept


def _replacements(
    found: Mapping[str, Any], task_id: UUID, parts: Sequence[str]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return which texts are put where, by kind of row."""
    mine = {"id": task_id, "mark": REDACTED}
    of_part: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {
        "prompt": [
            ("prompt", [{**mine, "spec": redacted_spec(found["spec"])}]),
            ("events", [mine]),
        ],
        "chains": [("chains", [mine])],
        "evidence": [("evidence", [mine])],
        "answers": [
            ("chain answers", [mine]),
            ("decisions", [_redacted_decision(row) for row in found["decisions"]]),
            ("clusters", [{"decision": row["id"], "mark": REDACTED} for row in found["decisions"]]),
            (
                "labels",
                [{"label": row["id"], "answers": [REDACTED]} for row in found["labels"] if row["answers"]],
            ),
        ],
    }
    return [one for part in ALL_PARTS if part in parts for one in of_part[part]]


def _redacted_decision(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "decision": row["id"],
        "answer": None if row["answer"] is None else REDACTED,
        "document": without_answers(row["document"]),
    }
