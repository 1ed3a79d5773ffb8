"""Tables of the nightly job: its runs, what came into force when, and which answers the labels say are right."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant
from db.models import one_of

FORM = 4
"""Of gradings as they are made; what was graded in an older form is graded once more. 4 differs from 3 in what is kept
of decisions whose labels conflict, so that only tasks with such labels are."""

GRADES = ("graded", "unknown", "conflicting", "spread")

NUMBERS = (
    ("confidence", ">f8", "float8send(confidence)"),
    ("vote_margin", ">f8", "float8send(vote_margin)"),
    ("truth", ">i2", "int2send(coalesce(truth, '-1'::smallint))"),
    ("n_right", ">i4", "int4send(cardinality(right_chains))"),
    ("n_wrong", ">i4", "int4send(cardinality(wrong_chains))"),
    ("n_masses", ">i4", "int4send(cardinality(masses))"),
    ("n_ballot", ">i4", "int4send(cardinality(ballot))"),
    ("n_ballot_masses", ">i4", "int4send(cardinality(ballot_masses))"),
    ("n_models", ">i4", "int4send(jsonb_array_length(models))"),
    ("correct", "?", "boolsend(coalesce(correct, false))"),
    ("answerable", "?", "boolsend(answerable)"),
    ("weighted", "?", "boolsend(weighted)"),
    ("ids", "V32", "uuid_send(decision_id) || uuid_send(label_id)"),
)
"""Of ``gradings.numbers``, in their order: name, NumPy's type, what it is made of. A change needs a migration."""


class CalibrationRunRow(Base):
    """One run of the calibration over all domains of a tenant."""

    __tablename__ = "calibration_runs"
    __table_args__ = (Index("ix_calibration_runs_as_of", "tenant", "as_of"),)

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    as_of: Mapped[At]
    """It knew what was on record by then and nothing else."""

    policy: Mapped[Json]
    who: Mapped[str]
    started_at: Mapped[CreatedAt]
    finished_at: Mapped[At | None]
    error: Mapped[str | None]
    counts: Mapped[Json] = mapped_column(server_default=sql("'{}'::jsonb"))
    form: Mapped[int] = mapped_column(SmallInteger, server_default=sql("3"))
    """Of the gradings it made."""


class CalibrationEventRow(Base):
    """One change of a calibration's status; append-only, so that what was in force on any night can be told."""

    __tablename__ = "calibration_events"
    __table_args__ = (Index("ix_calibration_events_calibration_id", "calibration_id", "id"),)

    id: Mapped[Id]
    calibration_id: Mapped[UUID] = mapped_column(ForeignKey("calibrations.id"))
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    who: Mapped[str]
    why: Mapped[str] = mapped_column(server_default="")
    at: Mapped[CreatedAt]


class GradingRow(Base):
    """What a decision is worth by the label that was in force for a span of time.

    Derived from decisions and labels and made again when either gets another row: a night in the past reads the
    rows whose span holds it.
    """

    __tablename__ = "gradings"
    __table_args__ = (
        CheckConstraint(one_of("grade", GRADES), name="grade_known"),
        Index("ix_gradings_window", "tenant", "domain", sql("decided_at DESC"), sql("decision_id DESC")),
        # What a night leaves out is little, and counted without reading the rest.
        Index(
            "ix_gradings_left_out",
            "tenant",
            "decided_at",
            postgresql_include=["domain", "grade", "known_at", "until_at"],
            postgresql_where=sql("grade <> 'graded'"),
        ),
        Index("ix_gradings_tenant_window", "tenant", sql("decided_at DESC"), sql("decision_id DESC")),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    known_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    """From when on decision and label were both on record."""

    until_at: Mapped[At | None]
    """When another decision or label took over; null while none has."""

    tenant: Mapped[Tenant]
    domain: Mapped[str]
    decision_id: Mapped[UUID]
    label_id: Mapped[UUID]
    decided_at: Mapped[At]
    grade: Mapped[str]
    """``unknown``: it cannot be told whether the answer is right; ``conflicting``: two sources differ; ``spread``:
    a decision of SPREAD, of which no thresholds are learned."""

    correct: Mapped[bool | None] = mapped_column(Boolean)
    answerable: Mapped[bool] = mapped_column(server_default=sql("false"))
    confidence: Mapped[float] = mapped_column(Double, server_default=sql("0"))
    vote_margin: Mapped[float] = mapped_column(Double, server_default=sql("0"))
    truth: Mapped[int | None] = mapped_column(SmallInteger)
    """Which cluster is right."""

    masses: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default=sql("'{}'"))
    """Posterior of each cluster, in their order."""

    right_chains: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    wrong_chains: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    models: Mapped[list[Any]] = mapped_column(JSONB, server_default=sql("'[]'::jsonb"))
    """The models of its chains, sorted."""

    weighted: Mapped[bool] = mapped_column(server_default=sql("false"))
    """Whether the masses came from weights that an earlier calibration had fitted."""

    verdicts: Mapped[list[Any]] = mapped_column(JSONB, server_default=sql("'[]'::jsonb"))
    """Per verifier: name, version and the six counts of ``VerifierRates``, of the verdicts the decision rests on."""

    ballot: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    """How many chains of each model gave which answer, so that other weights can decide again."""

    ballot_masses: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default=sql("'{}'"))
    """Of the ballot's clusters under equal weights; empty where they are ``masses``."""

    numbers: Mapped[bytes] = mapped_column(
        LargeBinary, Computed(" || ".join(made for _, _, made in NUMBERS), persisted=True)
    )
    """What a night reads of every row, in one piece: a server gathers one value in a third of the time of ten."""

    form: Mapped[int] = mapped_column(SmallInteger, server_default=sql("3"))
    """Of this row; what was graded in an older form is due again."""

    n_decisions: Mapped[int] = mapped_column(Integer)
    n_labels: Mapped[int] = mapped_column(Integer)
    """So many were on record of the task when it was graded; with more, it is due again."""
