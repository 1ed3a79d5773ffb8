"""Verification: the chain of seals, their roots, and every row that they hold, in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from worker.hashes.headers import FIRST_PREVIOUS, hash_of, utc
from worker.hashes.leaves import NO_SALTS, split
from worker.hashes.merkle import Tree, root_of
from worker.seals.beside import (
    MAX_NAMED,
    brought_by,
    out_of_time,
    slipped_in,
    stopped,
    strays,
    subject_name,
    without_seal,
)
from worker.seals.comparing import compare
from worker.seals.findings import Finding, What
from worker.seals.hands import Hands
from worker.store.leave import imported, pruned
from worker.store.seals import (
    Entry,
    Seal,
    due_of_task,
    entries_about,
    entries_of,
    leaves_of,
    n_unsealed,
    names_about,
    rows_of,
    salts_of,
    seals_after,
)
from worker.store.transactions import Store
from worker.times import BEGINNING

PIECE = 1000  # entries compared at once
FEW = 5000  # entries for which processes are not worth their start


@dataclass(slots=True)
class Tally:
    """What a verification looked at; filled while its findings are read."""

    n_seals: int = 0
    n_entries: int = 0
    n_rows: int = 0
    n_unsealed: int = 0
    """Decisions that are newer than the last seal; counted up to a bound."""

    last: Seal | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, finding: Finding) -> Finding:
        """Count a finding and return it."""
        self.counts[finding.what.value] = self.counts.get(finding.what.value, 0) + 1
        return finding


@dataclass(frozen=True, slots=True)
class _Span:
    seal: int
    first: int
    last: int
    previous_until: datetime | None


@dataclass(frozen=True, slots=True)
class _Checked:
    findings: list[Finding]
    kept: list[bytes]
    """Each entry's root over its kept hashes."""

    found: list[bytes]
    """Each entry's root over the rows on record."""

    n_rows: int
    """Named by the entries."""


def verify(
    store: Store,
    tally: Tally,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    anchor: bytes | None = None,
    processes: int = 1,
) -> Iterator[Finding]:
    """Yield what differs from the seals, or went with leave.

    Args:
        store: The database.
        tally: Filled with what was looked at.
        since: Look only at seals that hold something of this time or later.
        until: Look only at seals that hold something from before this time.
        anchor: The hash of a seal that was written down elsewhere; it must be in the chain.
        processes: Compare with so many, unless there is little to compare.
    """
    seals = seals_after(store)
    tally.last = seals[-1] if seals else None
    yield from map(tally.note, check_chain(seals, anchor=anchor))
    chosen = list(_chosen(seals, since, until))
    tally.n_seals = len(chosen)
    n_entries = sum(seal.n_entries for seal, _ in chosen)
    with closing(Hands(store, processes=processes if n_entries > FEW else 1)) as hands:
        for seal, checked in _by_seal(hands, chosen):
            yield from map(tally.note, _check_seal(seal, checked, tally))
    if since is None and until is None:
        yield from map(tally.note, strays(store))
    if seals:
        yield from map(tally.note, without_seal(store, seals[-1], since, until))
    yield from map(tally.note, out_of_time(store))
    yield from map(tally.note, stopped(store))
    tally.n_unsealed = n_unsealed(
        store, since=seals[-1].until_at if seals else BEGINNING, at_most=10 * MAX_NAMED
    )


def verify_task(
    store: Store, tally: Tally, task_id: UUID, *, anchor: bytes | None = None
) -> Iterator[Finding]:
    """Yield what differs of one task; the chain and the roots of the seals that hold it are checked too."""
    seals = seals_after(store)
    tally.last = seals[-1] if seals else None
    yield from map(tally.note, check_chain(seals, anchor=anchor))
    by_number = {seal.number: seal for seal in seals}
    looked_at: set[int] = set()
    for entry in entries_about(store, task_id):
        seal = by_number.get(entry.seal_number)
        before = by_number.get(entry.seal_number - 1)
        if seal is None:
            yield tally.note(Finding(what=What.BROKEN, row="seal", seal=entry.seal_number, note="it is gone"))
            continue
        tally.n_seals += 1
        if seal.number not in looked_at:
            yield from map(tally.note, _check_kept(store, seal))
            looked_at.add(seal.number)
        checked = _check(store, [entry], None if before is None else before.until_at)
        tally.n_entries += 1
        tally.n_rows += checked.n_rows
        yield from map(tally.note, checked.findings)
    if seals:
        yield from map(tally.note, slipped_in(store, due_of_task(store, task_id, until=seals[-1].until_at)))
    yield from map(tally.note, out_of_time(store, task_id))
    yield from map(tally.note, stopped(store, task_id))


def check_chain(seals: Sequence[Seal], *, anchor: bytes | None = None) -> Iterator[Finding]:
    """Yield what is wrong with the seals themselves."""
    previous, number = FIRST_PREVIOUS, 1
    for seal in seals:
        if seal.number != number:
            yield Finding(
                what=What.REMOVED,
                row="seal",
                seal=number,
                note=f"seals {number} to {seal.number - 1} are gone",
            )
        wrong = list(_wrong_of(seal, previous if seal.number == number else None))
        if wrong:
            yield Finding(what=What.BROKEN, row="seal", seal=seal.number, note="; ".join(wrong))
        previous, number = seal.hash, seal.number + 1
    if anchor is not None and anchor not in {seal.hash for seal in seals}:
        yield Finding(
            what=What.REMOVED,
            row="seal",
            note=f"no seal has the hash {anchor.hex()}: it was changed, or the newest seals were cut off",
        )


def _wrong_of(seal: Seal, previous: bytes | None) -> Iterator[str]:
    if hash_of(seal.header) != seal.hash:
        yield "its hash is not that of what it says"
    try:
        says = json.loads(seal.header)
        told = tuple(says[name] for name in ("number", "root", "entries", "until", "sealed", "who"))
    except (ValueError, KeyError, TypeError):
        yield "what it says cannot be read"
        return
    until, sealed = utc(seal.until_at), utc(seal.sealed_at)
    if told != (seal.number, seal.root.hex(), seal.n_entries, until, sealed, seal.who):
        yield "its columns differ from what it says"
    if previous is not None and says.get("previous") != previous.hex():
        yield "it does not name the hash of the seal before it"


def _chosen(
    seals: Sequence[Seal], since: datetime | None, until: datetime | None
) -> Iterator[tuple[Seal, datetime | None]]:
    """Yield the seals of a span of time, each with the time that the one before it reaches to."""
    previous: datetime | None = None
    for seal in seals:
        after = since is not None and seal.until_at < since
        before = until is not None and previous is not None and previous >= until
        if not (after or before):
            yield seal, previous
        previous = seal.until_at


def _by_seal(
    hands: Hands, chosen: Sequence[tuple[Seal, datetime | None]]
) -> Iterator[tuple[Seal, Iterator[_Checked]]]:
    spans = (
        _Span(seal.number, first, min(first + PIECE, seal.n_entries), previous)
        for seal, previous in chosen
        for first in range(0, seal.n_entries, PIECE)
    )
    results = hands.map(check_span, spans)
    for seal, _ in chosen:
        n_spans = len(range(0, seal.n_entries, PIECE))
        yield seal, (next(results) for _ in range(n_spans))


def _check_seal(seal: Seal, parts: Iterable[_Checked], tally: Tally) -> Iterator[Finding]:
    kept, found, n_rows = Tree(), Tree(), 0
    for part in parts:
        yield from part.findings
        tally.n_entries += len(part.kept)
        n_rows += part.n_rows
        for one, other in zip(part.kept, part.found, strict=True):
            kept.add(one)
            found.add(other)
    tally.n_rows += n_rows
    if kept.root() != seal.root:
        as_sealed = found.root() == seal.root
        yield _broken(
            seal,
            "the rows are as they were sealed, but the hashes kept for them were changed"
            if as_sealed
            else "the hashes kept for it do not give its root",
        )
    yield from _check_size(seal, n_rows)


def _check_kept(store: Store, seal: Seal) -> Iterator[Finding]:
    kept = [split(leaves) for leaves in leaves_of(store, seal.number)]
    if root_of(map(root_of, kept)) != seal.root:
        yield _broken(seal, "the hashes kept for it do not give its root")
    yield from _check_size(seal, sum(map(len, kept)))


def _check_size(seal: Seal, n_rows: int) -> Iterator[Finding]:
    """Yield that the entries name more or fewer rows than were sealed; the root would not tell.

    A hash that is kept may be one of two rows together, whose own hashes are gone.
    """
    try:
        sealed = json.loads(seal.header)["rows"]
    except (ValueError, KeyError, TypeError):
        return  # told of the chain
    if sealed != n_rows:
        yield _broken(seal, f"it holds {sealed} rows, and {n_rows} are named in its entries")


def _broken(seal: Seal, note: str) -> Finding:
    return Finding(what=What.BROKEN, row="seal", seal=seal.number, note=note)


def check_span(store: Store, span: _Span) -> _Checked:
    """Compare the entries of a span with the rows on record."""
    entries = entries_of(store, span.seal, span.first, span.last)
    checked = _check(store, entries, span.previous_until)
    there = {entry.position for entry in entries}
    gone = [position for position in range(span.first, span.last) if position not in there]
    order = [(entry.at, entry.subject_id) for entry in entries]
    findings = [
        *checked.findings,
        *(
            Finding(what=What.REMOVED, row="entry", seal=span.seal, note=f"number {position} is gone")
            for position in gone
        ),
        *(
            Finding(
                what=What.BROKEN,
                row="entry",
                seal=span.seal,
                about=entries[i].about_id,
                note=f"number {entries[i].position} does not stand in its place",
            )
            for i in range(1, len(entries))
            if order[i - 1] > order[i]
        ),
    ]
    return _Checked(findings, checked.kept, checked.found, checked.n_rows)


def _check(store: Store, entries: Sequence[Entry], previous_until: datetime | None) -> _Checked:
    rows = rows_of(store, entries)
    abouts = list({entry.about_id for entry in entries})
    salts = salts_of(store, abouts)
    lacking = [entry.about_id for entry in entries if len(rows.get(entry.subject_id, ())) < len(entry.names)]
    gone = pruned(store, lacking) if lacking else {}
    more = [
        entry.about_id
        for entry in entries
        if {row.name for row in rows.get(entry.subject_id, ())} - set(entry.names)
    ]
    elsewhere = names_about(store, more) if more else {}
    late = [
        id_
        for entry in entries
        if previous_until is not None and entry.at < previous_until
        for id_ in (entry.subject_id, entry.about_id)
    ]
    came = imported(store, late) if late else {}
    findings: list[Finding] = []
    kept, found = [], []
    for entry in entries:
        compared = compare(
            entry,
            rows.get(entry.subject_id, ()),
            salts.get(entry.about_id, NO_SALTS),
            gone.get(entry.about_id, {}),
            frozenset(elsewhere.get(entry.about_id, ())),
        )
        findings += compared.findings
        if previous_until is not None and entry.at < previous_until:
            findings.append(_late(entry, brought_by(came, entry, entry.seal_number)))
        kept.append(root_of(split(entry.leaves)))
        found.append(compared.root)
    return _Checked(findings, kept, found, sum(len(entry.names) for entry in entries))


def _late(entry: Entry, import_id: UUID | None) -> Finding:
    return Finding(
        what=What.BACKDATED if import_id is None else What.IMPORTED,
        row=subject_name(entry.kind, entry.subject_id),
        seal=entry.seal_number,
        about=entry.about_id,
        note=f"it says {entry.at.isoformat()}, which an earlier seal had closed"
        if import_id is None
        else f"under import {import_id}",
    )
