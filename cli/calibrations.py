"""Commands about calibrations: run, show, activate, rollback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Column, Table

from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, err, fail, out, plain, print_json, shown, told
from cli.rates import rates_json, rates_table
from cli.times import moment
from worker.calibrating import (
    Night,
    as_recorded,
    rates_as_recorded,
    reproduce,
    run_night,
)
from worker.grading import WHY_NOT_SPREAD
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.plans import Plan, plan_of
from worker.settings import Settings
from worker.store.nights import (
    NewCalibration,
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
    _tell_night(night, written, recorded, rates_recorded, as_json=as_json)
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
            _tell_one(get_calibration(store, parsed_id(calibration), tenant=settings.tenant), as_json=as_json)
            return
        rows = list_calibrations(
            store, tenant=settings.tenant, domain=_domain(domain), active=not history, n=n
        )
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        out.print(_table(rows))
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


UNTOLD = "neither right nor wrong by their labels, counted as wrong"

RECORDED = {None: "not on record", True: "as it stands on record", False: "DIFFERS from the record"}


def _tell_night(
    night: Night,
    written: str,
    recorded: Mapping[UUID, bool | None],
    rates_recorded: bool | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "run_id": None if night.run_id is None else str(night.run_id),
                "as_of": night.as_of.isoformat(),
                "plan": night.plan.to_json(),
                "counts": night.counts,
                "calibrations": [_as_json(one, written, recorded) for one in night.calibrations],
                "verifiers": rates_json(night.rates),
                "not_calibrated": {"spread": WHY_NOT_SPREAD} if night.counts["spread"] else {},
            }
            | ({"verifiers_as_recorded": rates_recorded} if recorded else {})
        )
        return
    out.print(plain(f"as of {night.as_of.isoformat()}"), soft_wrap=True)
    _tell_untold(night.counts)
    if not night.calibrations:
        of_merge = " of MERGE" if night.counts["spread"] else ""
        out.print(
            f"no decision{of_merge} has a label yet: give task lines a label, or send labels with "
            "`merge-reasoner label`",
            soft_wrap=True,
        )
        return
    table = Table(
        Column("domain", overflow="fold"),
        "status",
        "labels",
        "lambda",
        "tau margin",
        "tau conf",
        "coverage",
        "answered",
        "risk",
    )
    for one in night.calibrations:
        after = one.report.get("after") or {}
        cells = (one.n_labels, one.thresholds.lambda_, one.thresholds.tau_margin, one.thresholds.tau_conf)
        performed = (after.get(name) for name in ("coverage", "answered_share", "selective_risk"))
        table.add_row(plain(one.domain or "all"), _status(one, written), *map(shown, (*cells, *performed)))
    out.print(table)
    for one in night.calibrations:
        if one.why:
            out.print(plain(f"{one.domain or 'all'}: {one.why}"), soft_wrap=True)
        if one.id in recorded:
            out.print(
                plain(f"{one.domain or 'all'}: {RECORDED[recorded[one.id]]} ({one.id})"), soft_wrap=True
            )
    if night.rates:
        out.print(rates_table(night.rates))
    if recorded:
        out.print(f"verifiers: {RECORDED[rates_recorded]}")


def _tell_untold(counts: Mapping[str, Any]) -> None:
    if n_spread := counts["spread"]:
        out.print(f"{n_spread} labelled decisions of SPREAD teach nothing: {WHY_NOT_SPREAD}", soft_wrap=True)
    for of, grades in counts.get("untold", {}).items():
        out.print(plain(f"{of}, {UNTOLD}: {_counted(grades)}"), soft_wrap=True)


def _counted(grades: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {grade}" for grade, n in sorted(grades.items()))


def _status(one: NewCalibration, written: str) -> str:
    if one.why:
        return "rejected" if written else "would be rejected"
    return {"": "would pass", "held": "candidate", "active": "active"}[written]


def _as_json(one: NewCalibration, written: str, recorded: Mapping[UUID, bool | None]) -> dict[str, object]:
    found: dict[str, object] = {
        "id": str(one.id),
        "domain": one.domain or None,
        "status": _status(one, written),
        "why": one.why,
        "n_labels": one.n_labels,
        "lambda": one.thresholds.lambda_,
        "tau_margin": one.thresholds.tau_margin,
        "tau_conf": one.thresholds.tau_conf,
        "model_weights": one.model_weights,
        "drift": one.drift,
        "report": one.report,
    }
    return found | ({"as_recorded": recorded[one.id]} if one.id in recorded else {})


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        Column("calibration", no_wrap=True),
        Column("domain", overflow="fold"),
        "status",
        "labels",
        "lambda",
        "tau margin",
        "tau conf",
        "as of",
        Column("why", overflow="fold"),
    )
    for row in rows:
        as_of = row["window_until"] or row["created_at"]
        cells = (row["n_labels"], row["lambda"], row["tau_margin"], row["tau_conf"])
        table.add_row(
            str(row["id"]),
            plain(row["domain"] or "all"),
            row["status"],
            *map(shown, cells),
            as_of.isoformat(sep=" ", timespec="minutes"),
            plain(row["why"]),
        )
    return table


def _tell_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    out.print(_table([row]))
    report = row["report"]
    table = Table("on the held-out part", "coverage", "mean size", "answered", "risk")
    for name in ("before", "after"):
        found = report.get(name) or {}
        keys = ("coverage", "mean_size", "answered_share", "selective_risk")
        table.add_row(name, *(shown(found.get(key)) for key in keys))
    out.print(table)
    facts = {
        "conformal lambda": report.get("conformal_lambda"),
        "paper's lambda*": (report.get("empirical_lambda") or {}).get("lambda_"),
        "truth among the answers": report.get("ceiling"),
        "bound on the risk": (report.get("certified") or {}).get("risk_bound"),
        "drift p": row["drift"].get("p_value"),
    }
    for name, value in facts.items():
        out.print(f"{name}: {shown(value)}")
    if untold := report.get("untold"):
        out.print(f"{UNTOLD}: {_counted(untold)}", soft_wrap=True)
    consensus = report.get("consensus")
    if consensus:
        out.print(plain(f"p = {consensus['p']:.3f}, rho = {consensus['rho']:.3f}: {consensus['verdict']}"))
