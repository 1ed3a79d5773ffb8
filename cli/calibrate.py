"""Commands that learn from labels."""

from __future__ import annotations

import typer

from cli.calibrations import activate_command, rollback, run, show
from cli.connection import current_settings, reading
from cli.console import JsonFlag, err, out, print_json, told
from cli.rates import rates_json, rates_table
from cli.reports import plot, report
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.rating import rate_verifiers
from worker.store.labelled import labelled_tasks
from worker.store.rates import save_rates

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
        print_json(rates_json(rates))
    elif rates:
        out.print(rates_table(rates))
    else:
        err.print("no verdict on a task with a label yet: give task lines a label, or add labels later")
