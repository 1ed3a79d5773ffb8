"""Tables of the seals: Merkle roots chained over the record, the hashes they were made from, salts and redactions.

What is sealed is read in ``db.sealing``; how the hashes are made is told in docs/audit.md. The first two tables and
the last are only ever added to: triggers refuse everything else to everybody.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Index, Integer, LargeBinary, SmallInteger, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant, within_reach

WORKER_ROLE = "mergereasoner_worker"
"""What workers are allowed: to add to the record, and to change nothing that was concluded."""

KEEPER_ROLE = "mergereasoner_keeper"
"""Who redacts and prunes, by an explicit SET ROLE; sealed rows obey nobody else."""


AHEAD = "5 minutes"
"""So far may a row's time lie ahead of the database's clock, which may have been set back; no further."""


class SealRow(Base):
    """One seal: the root of a Merkle tree over entries, chained to the seal before it."""

    __tablename__ = "seals"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """From 1, without gaps."""

    header: Mapped[str]
    """The exact text that is hashed: canonical JSON of all that the seal says, the previous seal's hash included."""

    hash: Mapped[bytes] = mapped_column(LargeBinary)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    n_entries: Mapped[int] = mapped_column(Integer)
    until_at: Mapped[At]
    """What is of a time before this is in this seal or an earlier one."""

    sealed_at: Mapped[CreatedAt]
    who: Mapped[str]


class SealEntryRow(Base):
    """One sealed decision with its task, chains and verdicts; or a label, a calibration, a redaction, a pruning."""

    __tablename__ = "seal_entries"
    __table_args__ = (UniqueConstraint("about_id", "subject_id"),)

    seal_number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """From 0, in the order of (at, subject)."""

    kind: Mapped[str]
    subject_id: Mapped[UUID]
    """Of the decision, label, calibration, redaction or pruning."""

    about_id: Mapped[UUID]
    """Of the task; where there is none, the subject again."""

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """When the subject was written, as its row says."""

    names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Of the rows, in the order of their leaves."""

    leaves: Mapped[bytes] = mapped_column(LargeBinary)
    """Their hashes, 32 bytes each."""

    marks: Mapped[bytes] = mapped_column(LargeBinary)
    """The first four bytes of each field group's digest: enough to tell which group of a changed row differs."""


class SealSaltRow(Base):
    """What the hashes of a task's texts were salted with; gone with a redaction, lest somebody guesses the texts."""

    __tablename__ = "seal_salts"

    task_id: Mapped[Id]
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    """0, and one more for what is sealed of the task after a redaction."""

    seed: Mapped[bytes | None] = mapped_column(LargeBinary)
    kept: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """After a redaction: the salts of those texts that were left, in hexadecimal, by row and group."""


class RedactionRow(Base):
    """One redaction: which texts of a task went, and their salted hashes, by which the seals still verify."""

    __tablename__ = "redactions"
    __table_args__ = (
        Index("ix_redactions_task_id", "task_id"),
        within_reach("at"),
    )

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    task_id: Mapped[UUID]
    who: Mapped[str]
    why: Mapped[str]
    details: Mapped[Json]
    """``texts``: by row and group, the salted hash of what was there and the hash of what stands there instead."""

    at: Mapped[CreatedAt]
