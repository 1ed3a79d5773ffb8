"""Tables of what may go and what went: each tenant's policy, the prunings, and the tasks that each of them touched.

Whoever misses a row of an old task finds here who took it away, when and under which rule. The audit tells `pruned`
from `removed` by it, so rows of the last two tables are written once and never changed but for the end of a pruning.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant, within_reach
from db.models import one_of

EVIDENCE = "evidence"
"""Chains and verdicts go; the task, its decisions, labels, gradings and events stay."""

TASK = "task"
"""Everything goes."""

WHAT = (EVIDENCE, TASK)


class RetentionPolicyRow(Base):
    """How long a tenant's record is kept; without a row, for ever."""

    __tablename__ = "retention_policies"
    __table_args__ = (
        CheckConstraint("evidence_months > 0 AND task_months > 0", name="months_positive"),
        CheckConstraint("task_months >= evidence_months", name="tasks_outlive_evidence"),
    )

    tenant: Mapped[str] = mapped_column(primary_key=True)
    evidence_months: Mapped[int | None] = mapped_column(Integer)
    """Age from which chains and verdicts may go; null keeps them as long as their task."""

    task_months: Mapped[int | None] = mapped_column(Integer)
    """Age from which whole tasks may go; null keeps them for ever."""

    keep_labelled: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether tasks with a label keep everything."""

    who: Mapped[str]
    at: Mapped[CreatedAt]


class PruningRow(Base):
    """One pruning of one tenant's record."""

    __tablename__ = "prunings"
    __table_args__ = (
        CheckConstraint(one_of("what", WHAT), name="what_known"),
        Index("ix_prunings_tenant", "tenant", "id"),
        within_reach("finished_at"),
    )

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    what: Mapped[str]
    """``evidence`` or ``task``."""

    older_than: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Only what was submitted and finished before this went."""

    policy: Mapped[Json]
    who: Mapped[str]
    at: Mapped[CreatedAt]
    finished_at: Mapped[At | None]
    """Null while it is under way, or when it was stopped; what it had done by then is listed all the same."""

    n_tasks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tasks_sha256: Mapped[str | None]
    """Of the ids it touched, 16 bytes each in ascending order, in hexadecimal."""

    counts: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    """Rows that went, by table, and the months that were dropped whole."""


class PrunedTaskRow(Base):
    """One task that a pruning touched."""

    __tablename__ = "pruned_tasks"
    __table_args__ = (
        CheckConstraint(one_of("what", WHAT), name="what_known"),
        Index("ix_pruned_tasks_pruning_id", "pruning_id"),
    )

    task_id: Mapped[Id]
    what: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[Tenant]
    pruning_id: Mapped[UUID] = mapped_column(ForeignKey("prunings.id"))
