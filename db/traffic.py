"""Tables of the traffic: queues, rate limits and turns, the clock's jobs and messages nobody could read."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Double, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import At, Base, CreatedAt, Json

SLOWEST = 1e-6
MOST = 1e9
"""What a rate and a burst can be: a number that is not to be reckoned with would stop every sweep."""


class QueueRow(Base):
    """One queue: whether it is paused, and how much of it the broker is given at once."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[At | None]
    paused_by: Mapped[str] = mapped_column(server_default="")
    why: Mapped[str] = mapped_column(server_default="")
    window_tasks: Mapped[int | None] = mapped_column(Integer)
    """Tasks that may wait in the broker; grows while workers empty it between two sweeps, shrinks while they don't."""

    broker: Mapped[str] = mapped_column(server_default="")
    """Which run of the broker was last published to; another one may have lost what the earlier one held."""


class RateLimitRow(Base):
    """A token bucket: how many tasks of a tenant, or of a model, may start."""

    __tablename__ = "rate_limits"
    __table_args__ = (
        CheckConstraint(
            f"per_s BETWEEN {SLOWEST} AND {MOST} AND burst BETWEEN 1 AND {MOST}",
            name="in_reach",
        ),
    )

    scope: Mapped[str] = mapped_column(primary_key=True)
    """``tenant`` or ``model``."""

    name: Mapped[str] = mapped_column(primary_key=True)
    per_s: Mapped[float] = mapped_column(Double)
    burst: Mapped[float] = mapped_column(Double)
    tokens: Mapped[float] = mapped_column(Double)
    refilled_at: Mapped[CreatedAt]


class TurnRow(Base):
    """Whose turn it was, for the sweeps to come: the next reconciler goes on where this one stopped."""

    __tablename__ = "turns"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    """One that has a limit; empty for all of the tenant's tasks."""

    n: Mapped[int] = mapped_column(BigInteger)
    """The number of the model's last turn that went to the tenant; for all tasks, how many the tenant had."""


class BeatJobRow(Base):
    """When a job of the clock last ran; whoever moves this on runs it, so that two clocks run it once."""

    __tablename__ = "beat_jobs"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_run_at: Mapped[At]
    last_run_by: Mapped[str]


class ParkedMessageRow(Base):
    """A message that no worker of its version could read."""

    __tablename__ = "parked_messages"
    __table_args__ = (
        Index("ix_parked_messages_waiting", "id", postgresql_where=text("redriven_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    queue: Mapped[str]
    body: Mapped[Json]
    """The message as far as it could be read, bounded."""

    reason: Mapped[str]
    who: Mapped[str]
    at: Mapped[CreatedAt]
    redriven_at: Mapped[At | None]
