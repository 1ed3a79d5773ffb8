"""One entry against the rows on record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.hashes.headers import utc
from worker.hashes.leaves import GROUPS, MARK_BYTES, TIMES, Row, Salts, digests_of, leaf_of, split
from worker.hashes.merkle import root_of
from worker.seals.findings import Finding, What
from worker.seals.forms import is_redacted
from worker.store.leave import Leave
from worker.store.seals import Entry

TAKES = {
    "task": frozenset({"task", "decision", "chain", "verdict"}),
    "evidence": frozenset({"chain", "verdict"}),
}
"""Which rows go with what a pruning takes. No label is among them: a task that has one never goes whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of one entry."""

    findings: list[Finding]
    root: bytes
    """Over the rows on record, with the kept hashes of those that went with leave."""


def compare(
    entry: Entry, rows: Sequence[Row], salts: Salts, pruned: Mapping[str, Leave], elsewhere: frozenset[str]
) -> Compared:
    """Compare an entry with the rows on record.

    Args:
        entry: As it is kept.
        rows: All that are on record of it.
        salts: Of its task.
        pruned: What went with leave, and under which pruning.
        elsewhere: Rows of the same task that other entries hold.
    """
    by_name = {row.name: row for row in rows}
    findings, leaves, place = [], [], 0
    kept = split(entry.leaves)
    if len(kept) != len(entry.names):
        # A hash without a name would be of a row that nobody misses.
        note = f"it names {len(entry.names)} rows and keeps {len(kept)} hashes"
        findings.append(_finding(What.BROKEN, entry, "entry", note=note))
        kept += [b""] * (len(entry.names) - len(kept))
    for name, leaf in zip(entry.names, kept, strict=False):
        n_bytes = MARK_BYTES * len(GROUPS.get(name.partition(" ")[0], ()))
        marks = entry.marks[place : place + n_bytes]
        place += n_bytes
        row = by_name.get(name)
        if row is None:
            findings.append(_missing(entry, name, pruned))
            leaves.append(leaf)
            continue
        now, found = _row(entry, row, salts, leaf, marks)
        leaves.append(now)
        findings += found
    if not _is_of_its_time(entry, rows):
        findings.append(_finding(What.CHANGED, entry, "entry", note="its time is not the one of its row"))
    extra = sorted(set(by_name) - set(entry.names) - elsewhere)
    findings += [_finding(What.INSERTED, entry, name) for name in extra]
    return Compared(findings=findings, root=root_of(leaves))


def _finding(what: What, entry: Entry, row: str, groups: Sequence[str] = (), note: str = "") -> Finding:
    return Finding(
        what=what, row=row, seal=entry.seal_number, about=entry.about_id, groups=tuple(groups), note=note
    )


def _missing(entry: Entry, name: str, pruned: Mapping[str, Leave]) -> Finding:
    note = ""
    for what, kinds in TAKES.items():
        leave = pruned.get(what)
        if leave is None or name.partition(" ")[0] not in kinds:
            continue
        if entry.at < leave.older_than:
            return _finding(What.PRUNED, entry, name, note=f"under pruning {leave.id}")
        note = f"pruning {leave.id} lists its task, and took only what was decided before {utc(leave.older_than)}"
    return _finding(What.REMOVED, entry, name, note=note)


def _row(entry: Entry, row: Row, salts: Salts, leaf: bytes, marks: bytes) -> tuple[bytes, list[Finding]]:
    """Return the row's leaf as it is on record, and what differs."""
    groups = GROUPS[row.kind]
    digests = digests_of(row, salts)
    now = leaf_of(row.name, digests)
    redacted = [group for group in groups if f"{row.name}/{group}" in salts.redacted]
    findings = [_finding(What.REDACTED, entry, row.name, redacted)] if redacted else []
    after = [group for group in redacted if not _is_as_redacted(row, group, salts)]
    if after:
        findings.append(_finding(What.CHANGED, entry, row.name, after, "since its redaction"))
    # What stands there is as its redaction says, and a redaction may say anything.
    forged = [group for group in redacted if group not in after and not is_redacted(row, group)]
    if forged:
        note = "its redaction put something else there than the mark of one"
        findings.append(_finding(What.CHANGED, entry, row.name, forged, note))
    if now != leaf or b"".join(digest[:MARK_BYTES] for digest in digests) != marks:
        differ = [
            group
            for i, (group, digest) in enumerate(zip(groups, digests, strict=True))
            if digest[:MARK_BYTES] != marks[i * MARK_BYTES : (i + 1) * MARK_BYTES]
        ]
        note = "" if differ else "its kept hash is not the one of what is on record"
        if now == leaf:
            differ, note = [], "not the row, but what is kept to tell its groups apart"
        findings.append(_finding(What.CHANGED, entry, row.name, differ, note))
    return now, findings


def _is_of_its_time(entry: Entry, rows: Sequence[Row]) -> bool:
    """Return whether the entry says the time that its subject says, or its subject is gone."""
    said = f'"{TIMES.get(entry.kind)}": "{utc(entry.at)}"'
    return all(said in row.texts[0] for row in rows if row.kind == entry.kind)


def _is_as_redacted(row: Row, group: str, salts: Salts) -> bool:
    text = row.texts[GROUPS[row.kind].index(group)]
    return hashlib.sha256(text.encode()).hexdigest() == salts.redacted[f"{row.name}/{group}"].now
