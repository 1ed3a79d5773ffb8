"""Commands for who looks after the database: months, pruning, backup and restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from uuid_utils.compat import uuid7

from cli.connection import NO_BROKER, current_settings, reading
from cli.console import JsonFlag, err, fail, me, out, plain, print_json, shown, told
from cli.times import past_age
from db.retention import EVIDENCE, TASK, WHAT
from worker.backup import back_up, restore
from worker.embedded.services import Services
from worker.months import Month, month_of, months_in
from worker.pruning import Pruned, prune, rules_of
from worker.settings import Settings
from worker.store.partitions import N_AHEAD, list_partitions, make_partitions, sorting
from worker.store.pruning import Rule
from worker.store.retention import Policy, clear_policy, policies, prunings, set_policy, tenants

db = typer.Typer(help="The database: months, what is kept how long, backup.", no_args_is_help=True)

MANY_UNSORTED = 1_000  # rows in no month; a few stragglers are nothing to tell


@db.callback()
def _db() -> None:
    """The database: months, what is kept how long, backup."""


@db.command("partitions")
def partitions_command(
    make: Annotated[
        bool, typer.Option("--make", help="Make the months that are due, and sort older rows into theirs.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(help="With --make: every month from this one on (2025-11), for rows to come."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the months of the record with their sizes; the clock's job makes them ahead.

    Examples:

        merge-reasoner db partitions

        merge-reasoner db partitions --make
    """
    with told():
        first = _month(since)
        with reading(current_settings()) as store:
            if make:
                made = make_partitions(store, now=datetime.now(UTC), since=first)
                err.print(f"{len(made.partitions)} partitions made, {made.n_moved} rows sorted into them")
            found, stand = list_partitions(store), sorting(store)
    if as_json:
        for one in found:
            print_json(
                {
                    "table": one.parent,
                    "partition": one.name,
                    "month": None if one.month is None else str(one.month),
                    "n_rows": one.n_rows,
                    "size_bytes": one.size_bytes,
                }
            )
        return
    table = Table("table", "month", "rows (estimate)", "MB")
    for one in found:
        month = one.name.removeprefix(f"{one.parent}_").replace("_", "-", 1)
        table.add_row(one.parent, month, str(one.n_rows), f"{one.size_bytes / 1e6:.1f}")
    out.print(table)
    for each in stand:
        if each.n_ahead < N_AHEAD:
            out.print(f"{each.parent}: {each.n_ahead} of {N_AHEAD} months ahead are made; see --make")
        if each.n_unsorted > MANY_UNSORTED:
            out.print(f"{each.parent}: about {each.n_unsorted} rows stand in no month; see --make")


@db.command("prune")
def prune_command(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", help="An age (12mo, 2y, 400d) or a time. Without it, each tenant's policy holds."
        ),
    ] = None,
    whole_tasks: Annotated[
        bool,
        typer.Option("--whole-tasks", help="Not only chains and verdicts, but tasks without a label too."),
    ] = False,
    keep_labelled: Annotated[
        bool, typer.Option("--keep-labelled", help="Tasks with a label keep everything.")
    ] = False,
    unsealed: Annotated[
        bool, typer.Option("--unsealed", help="Also what no seal holds; nobody can prove later what it was.")
    ] = False,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="With --older-than: not only this tenant's record.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take old records away: chains and verdicts, or whole tasks; a month of which nothing stays is dropped.

    What is unfinished or younger never goes. What went is kept as a list (`db prunings`), so that `audit verify` tells
    it from what somebody removed.

    Examples:

        merge-reasoner db prune --older-than 12mo --dry-run

        merge-reasoner db prune --older-than 36mo --whole-tasks
    """
    with told():
        settings = current_settings()
        now = datetime.now(UTC)
        with reading(settings) as store:
            if older_than is None:
                of_all = policies(store)
                if not of_all:
                    raise fail("no policy is set; give --older-than, or set one with `db retention`")
                rules = {
                    what: rules_of(of_all, what=what, now=now, keep_labelled=keep_labelled) for what in WHAT
                }
            else:
                before = past_age(older_than, now=now, option="--older-than")
                whose = tenants(store) if all_tenants else [settings.tenant]
                rules = {
                    what: [
                        Rule(tenant=one, older_than=before, keep_labelled=keep_labelled, pruning_id=uuid7())
                        for one in whose
                    ]
                    for what in ((EVIDENCE, TASK) if whole_tasks else (EVIDENCE,))
                }
            done = prune(
                store,
                rules,
                who=me(),
                unsealed=unsealed,
                dry_run=dry_run,
                progress=lambda line: err.print(plain(line)),
            )
    for one in done:
        _tell(one, dry_run=dry_run, as_json=as_json)


def _tell(one: Pruned, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "what": one.what,
                "dry_run": dry_run,
                "n_tasks": one.n_tasks,
                "windows": [
                    {"month": str(window.month or ""), "dropped": window.is_dropped, **window.fates}
                    for window in one.windows
                ],
                "prunings": {tenant: str(id_) for tenant, id_ in one.pruning_ids.items()},
                "rows": dict(one.rows),
                "months": list(one.months),
            }
        )
        return
    table = Table("month", "goes", "stays", "how", title=one.what)
    for window in one.windows:
        stays = ", ".join(f"{n} {why}" for why, n in sorted(window.fates.items()) if why != "goes")
        how = "-" if "goes" not in window.fates else ("dropped" if window.is_dropped else "row by row")
        table.add_row(str(window.month or "-"), str(window.fates.get("goes", 0)), stays or "-", how)
    out.print(table)
    would = "would lose" if dry_run else "lost"
    rows = ", ".join(f"{n} {table}" for table, n in sorted(one.rows.items()))
    out.print(f"{one.n_tasks} tasks {would} {_LOST[one.what]}{f': {rows}' if rows else ''}")


_LOST = {EVIDENCE: "chains and verdicts", TASK: "everything"}


@db.command("prunings")
def prunings_command(
    n: Annotated[int, typer.Option("-n", min=1, help="At most so many.")] = 20, as_json: JsonFlag = False
) -> None:
    """List what was taken away: who, when, how much and under which policy.

    Example:

        merge-reasoner db prunings
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            found = prunings(store, tenant=settings.tenant, n=n)
    if as_json:
        for one in found:
            print_json(one)
        return
    table = Table("pruning", "at", "who", "what", "older than", "tasks", "rows")
    table.columns[0].overflow = "fold"
    for one in found:
        rows = ", ".join(f"{n} {table}" for table, n in sorted(one["counts"].get("rows", {}).items()))
        table.add_row(
            str(one["id"]),
            one["at"].isoformat(sep=" ", timespec="seconds"),
            plain(one["who"]),
            one["what"],
            one["older_than"].isoformat(sep=" ", timespec="seconds"),
            str(one["n_tasks"]) if one["finished_at"] else "not finished",
            rows or "-",
        )
    out.print(table)


@db.command("retention")
def retention_command(
    evidence: Annotated[
        str | None, typer.Option(help="Age from which chains and verdicts may go: 12mo, 2y.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Age from which whole tasks may go.")] = None,
    keep_labelled: Annotated[
        bool, typer.Option("--keep-labelled", help="Tasks with a label keep everything.")
    ] = False,
    forever: Annotated[bool, typer.Option("--forever", help="Remove this tenant's policy.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show every tenant's policy, or set this tenant's; the clock's job applies them once a day.

    Examples:

        merge-reasoner db retention

        merge-reasoner db retention --evidence 12mo --tasks 36mo --keep-labelled
    """
    with told():
        settings = current_settings()
        policy = Policy(
            tenant=settings.tenant,
            evidence_months=_span(evidence, option="--evidence"),
            task_months=_span(tasks, option="--tasks"),
            keep_labelled=keep_labelled,
            who=me(),
        )
        is_set = policy.evidence_months is not None or policy.task_months is not None
        if forever and (is_set or keep_labelled):
            raise fail("--forever says that nothing goes; leave out the ages and --keep-labelled")
        if keep_labelled and not is_set:
            raise fail("--keep-labelled is part of a policy: give an age too, --evidence or --tasks")
        if (policy.task_months or 10_000) < (policy.evidence_months or 0):
            raise fail("a task can't go before its chains and verdicts: --tasks must be at least --evidence")
        with reading(settings) as store:
            if forever:
                clear_policy(store, tenant=settings.tenant)
            elif is_set:
                set_policy(store, policy)
            found = policies(store)
    if as_json:
        for one in found:
            print_json(asdict(one))
        return
    table = Table("tenant", "evidence, months", "tasks, months", "keeps labelled", "set by", "at")
    for one in found:
        at = one.at.isoformat(sep=" ", timespec="seconds") if one.at else "-"
        months = shown(one.evidence_months), shown(one.task_months)
        table.add_row(plain(one.tenant), *months, "yes" if one.keep_labelled else "no", plain(one.who), at)
    out.print(table if found else "no policy: everything is kept for ever")


@db.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(help="Is made; must not be there yet.", dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Write the whole database into one file, as it stands at this moment; the queue goes on.

    Example:

        merge-reasoner db backup /backups/2026-05-03.dump
    """
    with told():
        with _database(current_settings(), creates=False) as url:
            made = back_up(url, file)
        if as_json:
            print_json(asdict(made))
        else:
            out.print(
                plain(f"{made.path}: {made.size_bytes / 1e6:.1f} MB, sha256 {made.sha256}"), soft_wrap=True
            )


@db.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="What `db backup` or pg_dump -Fc wrote.", dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Fill an empty database from a backup: that of DATABASE_URL, or this machine's when it has none yet.

    All or nothing. Then bring up the workers: what waited is published again from its rows.

    Example:

        merge-reasoner db restore /backups/2026-05-03.dump
    """
    with told():
        with _database(current_settings(), creates=True) as url:
            restore(url, file)
        if as_json:
            print_json({"restored": True})
        else:
            out.print("restored; check it with `merge-reasoner audit verify`, then start the workers")


@contextmanager
def _database(settings: Settings, *, creates: bool) -> Iterator[str]:
    """Yield the URL of the database, starting this machine's own for as long as it takes."""
    if settings.database_url is not None:
        yield settings.database_url
    elif creates:
        with Services(settings.state_dir, broker_url=NO_BROKER) as services:
            services.state.record.unlink(
                missing_ok=True
            )  # nobody else is to rely on a server that ends with us
            yield services.database_url
    else:
        with reading(settings) as store:
            yield store.url.render_as_string(hide_password=False)


def _month(text: str | None) -> Month | None:
    if text is None:
        return None
    try:
        return month_of(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC))
    except ValueError:
        raise fail(f"--since {text!r} is no month: write 2025-11") from None


def _span(text: str | None, *, option: str) -> int | None:
    if text is None:
        return None
    found = months_in(text)
    if found is None:
        raise fail(f"{option} {text!r} is no span of months: write 12mo or 2y")
    return found
