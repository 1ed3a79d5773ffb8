"""What a verification finds, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class What(StrEnum):
    """How a row or a seal differs from what was sealed."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    """Of a sealed time or task, and in no seal; or of a time that no seal reaches."""

    BACKDATED = "backdated"
    """In a seal that came after the one for its time: written late, or with a false time."""

    BROKEN = "broken"
    """The seal itself: its hash, its link, or the hashes kept for it."""

    PRUNED = "pruned"
    """Gone by a pruning that is on record."""

    REDACTED = "redacted"
    """Some of its text is gone by a redaction that is on record; the rest and the hash are as sealed."""

    IMPORTED = "imported"
    """Came by an import that is on record, with the time it had where it came from."""


ON_RECORD = frozenset({What.PRUNED, What.REDACTED, What.IMPORTED})
"""What somebody did with leave; not a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found."""

    what: What
    row: str
    """Its name (``chain 3``), or ``seal`` or ``entry`` where it is about those."""

    seal: int | None = None
    about: UUID | None = None
    """The task; of a calibration or redaction, itself."""

    groups: tuple[str, ...] = ()
    """Which of its groups of fields differ."""

    note: str = ""

    @property
    def is_difference(self) -> bool:
        """Whether the record is not as it was sealed."""
        return self.what not in ON_RECORD
