"""Every table there is: what the migrations are compared with."""

from __future__ import annotations

from sqlalchemy import DateTime

from db import documents, entries, imports, ledger, measurements, models, nights, retention, seals, traffic
from db.base import Base

MODULES = (models, ledger, measurements, documents, traffic, nights, seals, retention, imports, entries)
"""Importing a module declares its tables; one that is missing here would be missing from ``alembic check``."""

METADATA = Base.metadata

TIMES = frozenset(
    column.name
    for table in METADATA.tables.values()
    for column in table.columns
    if isinstance(column.type, DateTime)
)
"""Names of the columns that hold points in time, in whatever table."""
