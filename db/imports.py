"""Tables of what came from elsewhere: the imports, and what each of them brought.

An imported row bears a time that was sealed long ago; the audit tells by these rows that it was not slipped in.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Id, Tenant, within_reach


class ImportRow(Base):
    """One import that brought something new."""

    __tablename__ = "imports"
    __table_args__ = (within_reach("at"),)

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    who: Mapped[str]
    file_sha256: Mapped[str]
    """Of the file's lines, as its last one says."""

    n_subjects: Mapped[int] = mapped_column(Integer)
    subjects_sha256: Mapped[str]
    """Of the ids it brought, 16 bytes each in ascending order, in hexadecimal."""

    at: Mapped[CreatedAt]


class ImportedSubjectRow(Base):
    """One decision, label or calibration that an import brought; or a task without any of them."""

    __tablename__ = "imported_subjects"
    __table_args__ = (Index("ix_imported_subjects_import_id", "import_id"),)

    about_id: Mapped[Id]
    """Of the decision, label, calibration or task. Imports of before 0016_times list the tasks of what they brought."""

    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id"), primary_key=True)
