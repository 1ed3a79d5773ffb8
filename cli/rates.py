"""How the rates of verifiers are shown."""

from __future__ import annotations

from rich.table import Column, Table

from cli.console import plain, shown
from reasoner.verifier_rates import Interval, VerifierRates
from worker.rating import Rates
from worker.store.rates import Measured


def rates_json(rates: Rates) -> list[dict[str, object]]:
    """Return what was measured of each verifier as JSON values."""
    return [_as_json(of, found) for of, found in rates.items()]


def rates_table(rates: Rates) -> Table:
    """Return a table of what was measured of each verifier."""
    table = Table(
        Column("verifier", overflow="fold"),
        "domain",
        "right",
        "sensitivity (95 %)",
        "wrong",
        "specificity (95 %)",
        "abstained",
    )
    for of, found in rates.items():
        table.add_row(
            plain(f"{of.verifier}/{of.version}"),
            plain(of.domain or "all"),
            str(found.n_right),
            _with_interval(found.sensitivity, found.sensitivity_interval),
            str(found.n_wrong),
            _with_interval(found.specificity, found.specificity_interval),
            shown(found.abstained),
        )
    return table


def _with_interval(share: float | None, interval: Interval | None) -> str:
    return (
        "-" if share is None or interval is None else f"{share:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
    )


def _as_json(of: Measured, found: VerifierRates) -> dict[str, object]:
    return {
        "verifier": of.verifier,
        "version": of.version,
        "domain": of.domain or None,
        "n_right": found.n_right,
        "n_wrong": found.n_wrong,
        "sensitivity": found.sensitivity,
        "sensitivity_interval": found.sensitivity_interval,
        "specificity": found.specificity,
        "specificity_interval": found.specificity_interval,
        "abstained": found.abstained,
    }
