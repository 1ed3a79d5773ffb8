"""Commands that learn from labels."""

from __future__ import annotations

import typer
from rich.table import Column, Table

from cli.calibrations import activate_command, rollback, run, show
from cli.connection import current_settings, reading
from cli.console import JsonFlag, err, out, plain, print_json, shown, told
from cli.reports import plot, report
from reasoner.verifier_rates import Interval, VerifierRates
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.rating import rate_verifiers
from worker.store.labelled import labelled_tasks
from worker.store.rates import Measured, save_rates

calibrate = typer.Typer(help="Learn from the truth that came back.", no_args_is_help=True)


calibrate.command()(run)
calibrate.command()(show)
calibrate.command("activate")(activate_command)
calibrate.command()(rollback)
calibrate.command()(plot)
calibrate.command()(report)


@calibrate.callback()
def _calibrate() -> None:
    """Learn from the truth that came back."""


@calibrate.command()
def verifiers(as_json: JsonFlag = False) -> None:
    """Measure each verifier's sensitivity and specificity on labelled tasks, and keep the measurement.

    A right answer is one that equals the task's newest label, as the task compares its answers with each other.
    Programs can't be compared with a label, so only those that are it word for word count.

    Example:

        merge-reasoner calibrate verifiers
    """
    with told():
        settings = current_settings()
        with reading(settings) as store, Judges(Surroundings(settings=settings, store=store)) as judges:
            rates = rate_verifiers(labelled_tasks(store, tenant=settings.tenant), judges)
            save_rates(store, rates, tenant=settings.tenant)
    if as_json:
        print_json([_as_json(of, found) for of, found in rates.items()])
    elif rates:
        out.print(_table(rates))
    else:
        err.print("no verdict on a task with a label yet: give task lines a label, or add labels later")


def _table(rates: dict[Measured, VerifierRates]) -> Table:
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
