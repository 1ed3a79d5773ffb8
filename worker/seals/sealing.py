"""Sealing: what is on record and in no seal yet goes into seals of a bounded size, each chained to the one before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from worker.hashes.headers import FIRST_PREVIOUS, hash_of, header_of
from worker.hashes.leaves import NO_SALTS, SEED_BYTES, Hashed, Salts, hashed, split
from worker.hashes.merkle import Tree, root_of
from worker.seals.hands import Hands
from worker.store.leave import has_unsealed_import
from worker.store.seals import (
    Seal,
    Subject,
    due,
    horizon,
    last_seal,
    n_unsealed,
    now,
    only_sealer,
    rows_of,
    salts_of,
    write_seal,
)
from worker.store.transactions import Store
from worker.times import BEGINNING

MAX_ENTRIES = 20_000
"""Of one seal: bounds memory, and how much of it a proof has to read."""

PIECE = 500  # entries hashed at once

LOOK_BACK = timedelta(days=1)
"""So far behind the last seal is looked for what was written late; it goes into the next seal and is told by verify."""


@dataclass(frozen=True, slots=True)
class _Piece:
    subjects: list[Subject]
    salts: dict[UUID, Salts] = field(default_factory=dict)


def hash_piece(store: Store, piece: _Piece) -> list[Hashed]:
    """Return the hashes of each subject's rows."""
    rows = rows_of(store, piece.subjects)
    return [
        hashed(rows[subject.subject_id], piece.salts.get(subject.about_id, NO_SALTS))
        for subject in piece.subjects
    ]


def is_due(store: Store, *, every_s: float) -> bool:
    """Return whether the last seal is older than ``every_s`` and something has come since that it does not hold.

    The first seal waits for the first decision.
    """
    last = last_seal(store)
    if last is None:
        return n_unsealed(store, since=BEGINNING, at_most=1) > 0
    if now(store) - last.sealed_at < timedelta(seconds=every_s):
        return False
    return bool(due(store, since=last.until_at - LOOK_BACK, until=horizon(store), n=1))


def seal_due(store: Store, *, who: str, everything: bool = False, processes: int = 1) -> Iterator[Seal]:
    """Seal all that is due and yield each seal once it is kept.

    Args:
        store: The database.
        who: Stands on the seals.
        everything: Look through the whole record for what was written long after its time; after an import it is.
        processes: Hash with so many.

    Raises:
        SealBusyError: Another process is sealing.
        StoreUnavailableError: The database is away; what was kept by then is kept.
    """
    with only_sealer(store), closing(Hands(store, processes=processes)) as hands:
        until = horizon(store)
        last = last_seal(store)
        whole = last is None or everything or has_unsealed_import(store)
        since = BEGINNING if last is None or whole else last.until_at - LOOK_BACK
        while subjects := due(store, since=since, until=until, n=MAX_ENTRIES):
            last = _seal(store, hands, subjects, last=last, until=until, who=who)
            yield last
            since = subjects[-1].at


def _seal(
    store: Store, hands: Hands, subjects: list[Subject], *, last: Seal | None, until: datetime, who: str
) -> Seal:
    reached = until if len(subjects) < MAX_ENTRIES else subjects[-1].at
    tasks = list({one.about_id for one in subjects if one.kind in {"decision", "label"}})
    salts = salts_of(store, tasks)
    seeds = []
    for task in tasks:
        of = salts.get(task, NO_SALTS)
        if of.seed is None:
            seed = os.urandom(SEED_BYTES)
            seeds.append((task, of.n_seeds, seed))
            salts[task] = replace(of, seed=seed)
    pieces = (_piece(subjects[i : i + PIECE], salts) for i in range(0, len(subjects), PIECE))
    entries = [one for of_piece in hands.map(hash_piece, pieces) for one in of_piece]
    tree = Tree()
    for one in entries:
        tree.add(root_of(split(one.leaves)))
    # Whoever reads a seal is to find its times in order, so a late row does not take it back.
    reached = reached if last is None else max(reached, last.until_at)
    number, sealed_at = (1 if last is None else last.number + 1), now(store)
    header = header_of(
        number=number,
        previous=FIRST_PREVIOUS if last is None else last.hash,
        root=tree.root(),
        n_entries=len(entries),
        n_rows=sum(len(one.names) for one in entries),
        until_at=reached,
        sealed_at=sealed_at,
        who=who,
    )
    seal = Seal(
        number=number,
        header=header,
        hash=hash_of(header),
        root=tree.root(),
        n_entries=len(entries),
        until_at=reached,
        sealed_at=sealed_at,
        who=who,
    )
    write_seal(store, seal, zip(subjects, entries, strict=True), seeds=seeds)
    return seal


def _piece(subjects: list[Subject], salts: dict[UUID, Salts]) -> _Piece:
    return _Piece(subjects, {one.about_id: salts[one.about_id] for one in subjects if one.about_id in salts})
