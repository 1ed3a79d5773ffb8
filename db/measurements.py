"""Tables of what was measured about the system's own parts."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Id, Tenant

COUNTS = (
    "right_confirmed",
    "right_refuted",
    "right_abstained",
    "wrong_confirmed",
    "wrong_refuted",
    "wrong_abstained",
)


class VerifierRatesRow(Base):
    """One measurement of one version of a verifier in one domain; never changed, the newest is in force."""

    __tablename__ = "verifier_rates"
    __table_args__ = (
        CheckConstraint(" AND ".join(f"{count} >= 0" for count in COUNTS), name="counts_not_negative"),
        Index("ix_verifier_rates_latest", "tenant", "verifier", "version", "domain", "id"),
    )

    id: Mapped[Id]
    tenant: Mapped[Tenant]
    verifier: Mapped[str]
    version: Mapped[str]
    domain: Mapped[str]
    """Of the tasks; empty for all domains together."""

    right_confirmed: Mapped[int] = mapped_column(Integer)
    right_refuted: Mapped[int] = mapped_column(Integer)
    right_abstained: Mapped[int] = mapped_column(Integer)
    wrong_confirmed: Mapped[int] = mapped_column(Integer)
    wrong_refuted: Mapped[int] = mapped_column(Integer)
    wrong_abstained: Mapped[int] = mapped_column(Integer)
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("calibration_runs.id"), index=True)
    """The night that measured; null when it was the command."""

    measured_at: Mapped[CreatedAt]
