"""What was measured of each verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, insert, text
from uuid_utils.compat import uuid7

from db.measurements import VerifierRatesRow
from reasoner.verifier_rates import VerifierRates
from worker.store.transactions import statements, transaction

LATEST = text("""
SELECT DISTINCT ON (verifier, version, domain) * FROM verifier_rates WHERE tenant = :tenant
ORDER BY verifier, version, domain, id DESC
""")


OF_RUN = text("SELECT * FROM verifier_rates WHERE tenant = :tenant AND run_id = :run_id")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Measured:
    """Whose rates: one version of a verifier, in one domain; an empty domain is all of them together."""

    verifier: str
    version: str
    domain: str


def save_rates(engine: Engine, rates: Mapping[Measured, VerifierRates], *, tenant: str) -> None:
    """Add a measurement of each; older ones stay."""
    with transaction(engine) as connection:
        write_rates(connection, rates, tenant=tenant, run_id=None)


def write_rates(
    connection: Connection, rates: Mapping[Measured, VerifierRates], *, tenant: str, run_id: UUID | None
) -> None:
    """Do as ``save_rates`` in the transaction of a run, whose id the measurements bear."""
    values = [
        {"id": uuid7(), "tenant": tenant, "run_id": run_id, **asdict(of), **asdict(found)}
        for of, found in rates.items()
    ]
    if values:
        connection.execute(insert(VerifierRatesRow), values)


def rates_of_run(engine: Engine, run_id: UUID, *, tenant: str) -> dict[Measured, VerifierRates]:
    """Return what a run measured."""
    with statements(engine) as connection:
        rows = connection.execute(OF_RUN, {"tenant": tenant, "run_id": run_id}).mappings()
        return {_measured(row): _counts(row) for row in rows}


def latest_rates(engine: Engine, *, tenant: str) -> dict[Measured, tuple[VerifierRates, datetime]]:
    """Return the newest measurement of each, with its time."""
    with statements(engine) as connection:
        return {
            _measured(row): (_counts(row), row["measured_at"])
            for row in connection.execute(LATEST, {"tenant": tenant}).mappings()
        }


def _measured(row: RowMapping) -> Measured:
    return Measured(verifier=row["verifier"], version=row["version"], domain=row["domain"])


def _counts(row: RowMapping) -> VerifierRates:
    return VerifierRates(**{field.name: row[field.name] for field in fields(VerifierRates)})
