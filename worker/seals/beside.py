"""What is on record beside the seals: entries that none counts, rows that none holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from worker.seals.findings import Finding, What
from worker.store.leave import Import, forged_lists, imported, unfinished
from worker.store.seals import (
    Entry,
    Seal,
    Subject,
    due,
    lost_rows,
    stray_entries,
)
from worker.store.transactions import Store
from worker.times import BEGINNING

MAX_NAMED = 10_000  # rows without a seal that are named one by one


def subject_name(kind: str, subject_id: UUID) -> str:
    """Return how a finding calls the subject of an entry."""
    return f"{kind} {subject_id}" if kind in {"decision", "label"} else kind


def strays(store: Store) -> Iterator[Finding]:
    """Yield entries that no seal counts, and lists of prunings and imports that are not as they were."""
    for seal, position, kind, subject_id, about in stray_entries(store, at_most=MAX_NAMED):
        yield Finding(
            what=What.INSERTED,
            row="entry",
            seal=seal,
            about=about,
            note=f"no seal counts number {position}, of {subject_name(kind, subject_id)}",
        )
    for kind, id_ in forged_lists(store):
        yield Finding(
            what=What.CHANGED, row=kind, about=id_, note="it is told to have touched other tasks than it did"
        )


def out_of_time(store: Store, task_id: UUID | None = None) -> Iterator[Finding]:
    """Yield rows of a time that no seal reaches, of one task or of all: who looks along the time never meets them."""
    for kind, subject_id, about, at in lost_rows(store, task_id, at_most=MAX_NAMED):
        yield Finding(
            what=What.INSERTED,
            row=subject_name(kind, subject_id),
            about=about,
            note=f"it says {at}, which no seal reaches",
        )


def stopped(store: Store, task_id: UUID | None = None) -> Iterator[Finding]:
    """Yield prunings, of one task or of all, that did not come to their end: what they list is under no seal."""
    for id_ in unfinished(store, task_id, at_most=MAX_NAMED):
        yield Finding(
            what=What.INSERTED,
            row="pruning",
            about=id_,
            note="under way, or it was stopped: the next `db prune` finishes it, and a seal takes it in",
        )


def brought_by(came: Mapping[UUID, Sequence[Import]], one: Subject | Entry, seal: int | None) -> UUID | None:
    """Return the import that brought what an entry is about.

    Older imports list tasks: what they brought is in no later seal than they are, and whatever is was slipped in.

    Args:
        came: What imports list.
        one: The entry, or what will be one.
        seal: The number of its seal; ``None`` when it has none yet.
    """
    if listed := came.get(one.subject_id):
        return listed[-1].id
    for by in came.get(one.about_id, ()):
        if by.sealed_in is None or (seal is not None and seal <= by.sealed_in):
            return by.id
    return None


def without_seal(
    store: Store, last: Seal, since: datetime | None, until: datetime | None
) -> Iterator[Finding]:
    """Yield rows of a time that is sealed, which no seal holds."""
    end = last.until_at if until is None else min(until, last.until_at)
    start = BEGINNING if since is None else since
    yield from slipped_in(store, due(store, since=start, until=end, n=MAX_NAMED))


def slipped_in(store: Store, subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Yield rows that no seal holds, unless an import brought them."""
    ids = [id_ for subject in subjects for id_ in (subject.subject_id, subject.about_id)]
    came = imported(store, ids) if ids else {}
    for subject in subjects:
        import_id = brought_by(came, subject, None)
        yield Finding(
            what=What.INSERTED if import_id is None else What.IMPORTED,
            row=subject_name(subject.kind, subject.subject_id),
            about=subject.about_id,
            note="of a time that is sealed, and in no seal"
            if import_id is None
            else f"under import {import_id}, and not sealed yet",
        )
