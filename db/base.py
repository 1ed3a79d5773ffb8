"""The declarative base, its naming convention and the column types that tables share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Id = Annotated[UUID, mapped_column(Uuid, primary_key=True)]
"""A uuid7: ordered by time, so that a range of ids is a range of time."""

Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Tenant = Annotated[str, mapped_column(Text, server_default=text("'default'"))]
At = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]


def within_reach(*columns: str) -> CheckConstraint:
    """Return the check that times are none that a search along the time would pass by."""
    condition = " AND ".join(
        f"{column} BETWEEN TIMESTAMPTZ '1900-01-01 00:00:00+00' AND TIMESTAMPTZ '9000-01-01 00:00:00+00'"
        for column in columns
    )
    return CheckConstraint(text(condition), name="times_within_reach")


class Base(DeclarativeBase):
    """Declarative base; the naming convention keeps migrations reversible."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {str: Text}  # noqa: RUF012 (SQLAlchemy's form)
