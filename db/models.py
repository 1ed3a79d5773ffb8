"""Tables of the work in progress: batches, tasks, their events, chains and verdicts.

Postgres is the truth and Redis only carries ids, so whatever must survive stands here. ``chains``, ``verdicts``
and ``task_events`` grow without bound; they are partitioned by range of ``task_id``, a uuid7, so that a range is a
span of time and retention can drop a partition instead of deleting rows. The migrations make one default
partition for each, and the clock's job the months (``db.partitions``).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Id, Json, Tenant

TASK_STATES = (
    "queued",
    "generating",
    "verifying",
    "deciding",
    "answered",
    "abstained",
    "failed",
    "cancelled",
)
FINAL_STATES = ("answered", "abstained", "failed", "cancelled")
OUTCOMES = ("confirmed", "refuted", "abstained")

IN_BACKLOG = "state = 'queued' AND published_at IS NULL AND not_before IS NULL"
NOT_YET = "state = 'queued' AND published_at IS NULL AND not_before IS NOT NULL"
UNDER_WAY = (
    "state IN ('generating', 'verifying', 'deciding') OR (state = 'queued' AND published_at IS NOT NULL)"
)


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the SQL condition that ``column`` holds one of ``values``."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class BatchRow(Base):
    """One submission."""

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("tenant", "idempotency_key"),
        Index(
            "ix_batches_deadline",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL AND expired_at IS NULL"),
        ),
        Index(
            "ix_batches_cancelling",
            "id",
            postgresql_where=text("cancelled_at IS NOT NULL AND expired_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    idempotency_key: Mapped[str]
    """Sending the same file again with the same key finds this batch instead of making another."""

    source: Mapped[str] = mapped_column(server_default="")
    n_tasks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    n_rejected_lines: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    details: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[CreatedAt]
    cancelled_at: Mapped[At | None]
    deadline_at: Mapped[At | None]
    """What has no result by then fails and says so."""

    expired_at: Mapped[At | None]
    """When all that was unfinished had failed since the deadline had passed, or was cancelled."""


class TaskRow(Base):
    """One reasoning task: what was asked, where it stands and who holds it."""

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("batch_id", "custom_id"),
        CheckConstraint(one_of("state", TASK_STATES), name="state_known"),
        # An unfinished task stands in one of these two: the backlog, in the order of its turns, which may be
        # millions long and is only ever read from the heads of its groups; or what is under way, which is short.
        Index(
            "ix_tasks_backlog",
            "route",
            "tenant",
            "model",
            "priority",
            "id",
            postgresql_where=text(IN_BACKLOG),
        ),
        Index("ix_tasks_under_way", "state", "route", postgresql_where=text(UNDER_WAY)),
        # What must not start yet stays out of the backlog until its time has come.
        Index("ix_tasks_not_before", "not_before", postgresql_where=text(NOT_YET)),
        # Page by page through a batch; the unique key above has them in another order.
        Index("ix_tasks_batch", "batch_id", "id"),
        Index("ix_tasks_failed", "tenant", "id", postgresql_where=text("state = 'failed'")),
        Index("ix_tasks_failed_at", "tenant", "finished_at", postgresql_where=text("state = 'failed'")),
    )

    id: Mapped[Id]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"))
    tenant: Mapped[Tenant]
    custom_id: Mapped[str]
    kind: Mapped[str]
    mode: Mapped[str]
    domain: Mapped[str]
    spec: Mapped[Json]
    """The validated task line without its label: prompt or messages, verifier specs, options, metadata."""

    route: Mapped[str] = mapped_column(server_default="generate")
    """The queue its generation waits in; tasks that bring their chains don't wait for a GPU."""

    state: Mapped[str] = mapped_column(server_default="queued")
    model: Mapped[str] = mapped_column(server_default="")
    """Models that generation asks, separated by commas; empty when the chains are given. What rate limits act on."""

    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    """0 to 9 as the producer wrote it; 9 is the most urgent among the tenant's own."""

    urgency: Mapped[int] = mapped_column(SmallInteger, server_default=text("9"))
    """0 to 9 as it was published: from its place in its tenant's turns; the broker serves 9 first."""

    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """The fencing number: every claim adds one, and a write of an older attempt is refused."""

    deliveries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Claims of the present stage that have not ended; a task that kills its workers is parked by it."""

    holder: Mapped[str | None]
    lease_until: Mapped[At | None]
    not_before: Mapped[At | None]
    waits_since: Mapped[At | None]
    """When it could begin: its time came, or it was retried; null means since it was made."""

    published_at: Mapped[At | None]
    """When its present stage was last handed to the broker; null means it waits for the reconciler."""

    tokens_spent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tokens_saved: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Estimate: chains not sampled because of early exit, times the mean length of those that were."""

    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[At | None]


EVENT_IDS = Sequence("task_events_id_seq", metadata=Base.metadata)


class TaskEventRow(Base):
    """One change of a task's state; append-only."""

    __tablename__ = "task_events"
    __table_args__ = {"postgresql_partition_by": "RANGE (task_id)"}  # noqa: RUF012 (SQLAlchemy's form)

    task_id: Mapped[Id]
    id: Mapped[int] = mapped_column(
        BigInteger, EVENT_IDS, primary_key=True, server_default=EVENT_IDS.next_value()
    )
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    who: Mapped[str]
    why: Mapped[str] = mapped_column(server_default="")
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    at: Mapped[CreatedAt]


class ChainRow(Base):
    """One sampled trace."""

    __tablename__ = "chains"
    __table_args__ = {"postgresql_partition_by": "RANGE (task_id)"}  # noqa: RUF012 (SQLAlchemy's form)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    tenant: Mapped[Tenant]
    text: Mapped[str]
    answer: Mapped[str | None]
    logprob: Mapped[float | None] = mapped_column(Double)
    """Sum over the tokens, in nats, before temperature."""

    n_tokens: Mapped[int | None]
    finish_reason: Mapped[str]
    model: Mapped[str]
    revision: Mapped[str]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    temperature: Mapped[float | None] = mapped_column(Double)
    prompt_variant: Mapped[str]
    engine: Mapped[str]
    latency_s: Mapped[float | None] = mapped_column(Double)
    explanations: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """In SPREAD: each explanation that the chain names, with what weighs it; see ``worker.store.chains``."""

    attempt: Mapped[int]
    created_at: Mapped[CreatedAt]


class VerificationRow(Base):
    """One verifier's turn at one task: who holds it and whether it is done.

    A task can wait for several verifiers at once, each on its own queue and machine, so each has a lease of its
    own beside the task's.
    """

    __tablename__ = "verifications"
    __table_args__ = (
        Index("ix_verifications_waiting", "verifier", "task_id", postgresql_where=text("NOT done")),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    verifier: Mapped[str] = mapped_column(primary_key=True)
    done: Mapped[bool] = mapped_column(server_default=text("false"))
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    deliveries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    holder: Mapped[str | None]
    lease_until: Mapped[At | None]
    not_before: Mapped[At | None]
    published_at: Mapped[At | None]


class VerdictRow(Base):
    """One verifier's conclusion about one claim of one task."""

    __tablename__ = "verdicts"
    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome_known"),
        {"postgresql_partition_by": "RANGE (task_id)"},
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    candidate: Mapped[str] = mapped_column(primary_key=True)
    """What was judged, e.g. ``answer:<sha256 prefix>``, or ``equivalence`` for the relation among all answers."""

    verifier: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[Tenant]
    outcome: Mapped[str]
    reason: Mapped[str]
    claim: Mapped[Json]
    """Which chains and which reference; long text stays in ``chains``."""

    evidence: Mapped[Json]
    limits: Mapped[Json]
    elapsed_s: Mapped[float] = mapped_column(Double)
    attempt: Mapped[int]
    created_at: Mapped[CreatedAt]
