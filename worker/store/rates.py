"""What was measured of each verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import Engine, insert, text
from uuid_utils.compat import uuid7

from db.measurements import VerifierRatesRow
from reasoner.verifier_rates import VerifierRates
from worker.store.transactions import statements, transaction

LATEST = text("""
SELECT DISTINCT ON (verifier, version, domain) * FROM verifier_rates WHERE tenant = :tenant
ORDER BY verifier, version, domain, id DESC
""")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Measured:
    """Whose rates: one version of a verifier, in one domain; an empty domain is all of them together."""

    verifier: str
    version: str
    domain: str


def save_rates(engine: Engine, rates: Mapping[Measured, VerifierRates], *, tenant: str) -> None:
    """Add a measurement of each; older ones stay."""
    values = [{"id": uuid7(), "tenant": tenant, **asdict(of), **asdict(found)} for of, found in rates.items()]
    if values:
        with transaction(engine) as connection:
            connection.execute(insert(VerifierRatesRow), values)


def latest_rates(engine: Engine, *, tenant: str) -> dict[Measured, tuple[VerifierRates, datetime]]:
    """Return the newest measurement of each, with its time."""
    names = [field.name for field in fields(VerifierRates)]
    with statements(engine) as connection:
        return {
            Measured(verifier=row["verifier"], version=row["version"], domain=row["domain"]): (
                VerifierRates(**{name: row[name] for name in names}),
                row["measured_at"],
            )
            for row in connection.execute(LATEST, {"tenant": tenant}).mappings()
        }
