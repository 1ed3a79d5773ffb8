"""Commands about calibrations: run, show, activate, rollback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import typer

from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, err, fail, out, plain, print_json, told
from cli.nights import calibrations_table, tell_night, tell_one
from cli.times import moment
from worker.calibrating import (
    as_recorded,
    rates_as_recorded,
    reproduce,
    run_night,
)
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.plans import Plan, plan_of
from worker.settings import Settings
from worker.store.nights import (
    activate,
    get_calibration,
    list_calibrations,
    roll_back,
)
from worker.store.transactions import Store

WHO = "calibrate"

Domain = Annotated[str | None, typer.Option(help="Only this domain; `all` is the fallback of all domains.")]


@contextmanager
def place() -> Iterator[tuple[Settings, Store]]:
    """Open the database for a command about calibrations, and tell what goes wrong in one line."""
    with told():
        settings = current_settings()
        with reading(settings) as store:
            yield settings, store


def run(
    as_of: Annotated[
        str | None,
        typer.Option(help="Have a past night again, from what was on record then; writes nothing."),
    ] = None,
    domain: Domain = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would come of it; change nothing.")
    ] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="Leave what passes as candidates; see `calibrate activate`.")
    ] = False,
    alpha: Annotated[
        float | None, typer.Option(help="Share of tasks whose set is to hold the truth.")
    ] = None,
    target_risk: Annotated[float | None, typer.Option(help="Error rate allowed among the answered.")] = None,
    delta: Annotated[float | None, typer.Option(help="Chance that it is exceeded all the same.")] = None,
    max_change: Annotated[float | None, typer.Option(help="Largest move of a threshold.")] = None,
    window_days: Annotated[float | None, typer.Option(help="How far back to look.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Choose thresholds from the labels that came back, for every domain, and put in force what passes its guards.

    Examples:

        merge-reasoner calibrate run --dry-run

        merge-reasoner calibrate run --as-of 2026-05-03T02:30:00Z
    """
    time = None if as_of is None else moment(as_of, option="--as-of", examples="2026-05-03T02:30:00Z")
    with place() as (settings, store), Judges(Surroundings(settings=settings, store=store)) as judges:
        chosen = {"alpha": alpha, "target_risk": target_risk, "delta": delta, "max_change": max_change}
        plan = _changed(plan_of(settings), chosen, window_days)
        of = _domain(domain)
        if time is not None:
            night = reproduce(store, judges, tenant=settings.tenant, plan=plan, as_of=time, domain=of)
            recorded = {one.id: as_recorded(store, one, tenant=settings.tenant) for one in night.calibrations}
            rates_recorded = rates_as_recorded(store, night, tenant=settings.tenant)
        else:
            night = run_night(
                store,
                judges,
                tenant=settings.tenant,
                plan=plan,
                who=WHO,
                domain=of,
                dry_run=dry_run,
                activate=not hold,
            )
            recorded, rates_recorded = {}, None
    written = "" if time is not None or dry_run else "held" if hold else "active"
    tell_night(night, written, recorded, rates_recorded, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if night.counts["ungradable"] else Exit.OK)


def show(
    calibration: Annotated[
        str | None, typer.Argument(help="A calibration's id; what is in force when left out.")
    ] = None,
    domain: Domain = None,
    history: Annotated[bool, typer.Option("--all", help="Also what is not in force.")] = False,
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the calibrations in force, or all of one with everything that was found.

    Examples:

        merge-reasoner calibrate show --all

        merge-reasoner calibrate show 0199c0de-... --json
    """
    with place() as (settings, store):
        if calibration is not None:
            tell_one(get_calibration(store, parsed_id(calibration), tenant=settings.tenant), as_json=as_json)
            return
        rows = list_calibrations(
            store, tenant=settings.tenant, domain=_domain(domain), active=not history, n=n
        )
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        out.print(calibrations_table(rows))
    else:
        err.print("nothing of this tenant's own; the fallback of all tenants serves")


def activate_command(calibration: Annotated[str, typer.Argument(help="A candidate's id.")]) -> None:
    """Put in force a calibration that a run left as a candidate (`run --hold`).

    Example:

        merge-reasoner calibrate activate 0199c0de-...
    """
    with place() as (settings, store):
        id_ = parsed_id(calibration)
        domain = activate(store, id_, tenant=settings.tenant, who=WHO)
        out.print(plain(f"{id_} is in force in {domain or 'all domains'}"), soft_wrap=True)


def rollback(
    calibration: Annotated[
        str | None, typer.Argument(help="Which one to go back to; the one before when left out.")
    ] = None,
    domain: Domain = None,
    as_json: JsonFlag = False,
) -> None:
    """Put an older calibration in force again; decisions made later name it.

    Examples:

        merge-reasoner calibrate rollback

        merge-reasoner calibrate rollback --domain sums
    """
    with place() as (settings, store):
        of = _domain(domain) or ""
        to = None if calibration is None else parsed_id(calibration)
        now = roll_back(store, tenant=settings.tenant, domain=of, who=WHO, to=to)
    if as_json:
        print_json({"domain": of or None, "calibration_id": None if now is None else str(now)})
        return
    serves = "the fallback serves" if now is None else f"{now} is in force"
    out.print(plain(f"{of or 'all domains'}: {serves}"), soft_wrap=True)


def parsed_id(
    text: str, *, of: str = "calibration", listed: str = "`merge-reasoner calibrate show --all` lists them"
) -> UUID:
    """Return the id that was typed, or say that it is none and exit."""
    try:
        return UUID(text)
    except ValueError:
        raise fail(f"{text!r} is no {of}'s id; {listed}") from None


def _domain(given: str | None) -> str | None:
    """Return the domain as it stands in the rows: ``all`` is the empty one."""
    return "" if given == "all" else given


def _changed(plan: Plan, policy: Mapping[str, float | None], window_days: float | None) -> Plan:
    given: dict[str, Any] = {name: value for name, value in policy.items() if value is not None}
    return replace(
        plan,
        policy=replace(plan.policy, **given),
        window_days=plan.window_days if window_days is None else window_days,
    )
