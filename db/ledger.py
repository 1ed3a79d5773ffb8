"""Tables of what was concluded: decisions and their clusters, labels that came back, and calibrations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant, within_reach
from db.models import one_of

CALIBRATION_STATUSES = ("candidate", "active", "retired", "rejected")


class CalibrationRow(Base):
    """One immutable run that chose thresholds; only its status changes."""

    __tablename__ = "calibrations"
    __table_args__ = (
        CheckConstraint(one_of("status", CALIBRATION_STATUSES), name="status_known"),
        within_reach("created_at"),
        # At most one is in force for a tenant's domain; activation swaps two rows in one transaction.
        Index(
            "uq_calibrations_active",
            "tenant",
            "domain",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    domain: Mapped[str] = mapped_column(server_default="")
    """The task domain it serves; empty is the fallback of all domains."""

    method: Mapped[str]
    status: Mapped[str]
    why: Mapped[str] = mapped_column(server_default="")
    alpha: Mapped[float | None] = mapped_column(Double)
    target_risk: Mapped[float | None] = mapped_column(Double)
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("calibration_runs.id"), index=True)
    window_from: Mapped[At | None]
    window_until: Mapped[At | None]
    n_labels: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lambda_: Mapped[float] = mapped_column("lambda", Double)
    tau_margin: Mapped[float] = mapped_column(Double)
    tau_conf: Mapped[float] = mapped_column(Double)
    tau_score: Mapped[float] = mapped_column(Double)
    model_weights: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    curve: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    drift: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    report: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    """Everything else that was found: guards, held-out performance before and after, reliability, p and rho."""

    created_at: Mapped[CreatedAt]
    activated_at: Mapped[At | None]


class DecisionRow(Base):
    """The output contract of one task; a later decision of the same task is another row."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index("uq_decisions_current", "task_id", unique=True, postgresql_where=text("is_current")),
        Index("ix_decisions_created_at", "created_at"),
        within_reach("created_at"),
    )

    id: Mapped[Id]
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    tenant: Mapped[Tenant]
    is_current: Mapped[bool] = mapped_column(server_default=text("true"))
    answer: Mapped[str | None]
    abstain_flag: Mapped[bool]
    abstain_reasons: Mapped[list[str]] = mapped_column(JSONB)
    confidence: Mapped[float] = mapped_column(Double)
    """Posterior of the best cluster, in [0, 1]; 0 when there is none."""

    vote_margin: Mapped[float] = mapped_column(Double)
    merge_degree: Mapped[float | None] = mapped_column(Double)
    set_size: Mapped[int]
    best_cluster: Mapped[int | None]
    document: Mapped[Json]
    """The whole decision as the method returned it; what a replay is compared with."""

    calibration_id: Mapped[UUID] = mapped_column(ForeignKey("calibrations.id"))
    configuration: Mapped[str]
    """Fingerprint of the rules, thresholds and relation in force (sha256 prefix)."""

    code_version: Mapped[str]
    method_version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    """Of the method: code of another version may decide the same record otherwise."""

    inputs: Mapped[str | None]
    """Fingerprint of which chains and verdicts it rests on (sha256 prefix); null in rows older than the column."""

    attempt: Mapped[int]
    created_at: Mapped[CreatedAt]


class ClusterRow(Base):
    """One cluster of one decision."""

    __tablename__ = "clusters"

    decision_id: Mapped[UUID] = mapped_column(
        ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    members: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    answer: Mapped[str]
    score: Mapped[float] = mapped_column(Double)
    posterior: Mapped[float] = mapped_column(Double)
    in_set: Mapped[bool]
    outcome: Mapped[str | None]


class LabelRow(Base):
    """The truth about a task that came back; never overwritten, the newest wins."""

    __tablename__ = "labels"
    __table_args__ = (
        UniqueConstraint("task_id", "source", "at"),
        # What came since the last night is looked for by when we heard of it, not by when it was true.
        Index("ix_labels_recorded_at", "tenant", "recorded_at"),
        # The seals of all tenants go forward in one order.
        Index("ix_labels_sealing", "recorded_at", "id"),
        within_reach("recorded_at", "at"),
    )

    id: Mapped[Id]
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    tenant: Mapped[Tenant]
    answers: Mapped[list[Any]] = mapped_column(JSONB)
    """Every answer that counts as right; empty when only ``correct`` is known."""

    correct: Mapped[bool | None]
    """Whether the answer of ``decision_id`` is right, where answers can't be compared."""

    decision_id: Mapped[UUID | None]
    source: Mapped[str]
    at: Mapped[CreatedAt]
    """When it was true, as its source says; the newest wins."""

    recorded_at: Mapped[CreatedAt]
    """When we heard of it: what a night before that did not know."""
