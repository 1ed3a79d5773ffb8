"""Commands of the search: `audit find`, and the queries that have a name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.connection import current_settings, reading
from cli.console import JsonFlag, err, fail, out, plain, print_json, told
from cli.filters import (
    Answer,
    Batch,
    Calibration,
    Degree,
    Domain,
    Kind,
    Label,
    Margin,
    Mode,
    Model,
    Outcome,
    Since,
    State,
    Until,
    Verdict,
    Why,
    filters_of,
    given_options,
)
from cli.rows import Format, format_of, write_rows
from worker.store.entries import reindex
from worker.store.finding import Page, find_all
from worker.store.finding import find as find_page
from worker.store.saved_queries import get_query, list_queries, remove_query, save_query
from worker.store.transactions import Store

COLUMNS = (
    *(
        "task_id",
        "decision_id",
        "batch_id",
        "custom_id",
        "kind",
        "mode",
        "domain",
        "state",
        "decided_at",
        "answer",
    ),
    *(
        "abstained",
        "abstain_reasons",
        "confidence",
        "vote_margin",
        "merge_degree",
        "set_size",
        "models",
        "label",
    ),
    *("calibration_id", "configuration", "code_version", "tokens_spent", "tokens_saved"),
)
PAGE = 50
SHORT = ("decided", "task_id", "custom_id", "domain", "answer", "abstained", "margin", "degree", "label")


def find(
    since: Since = None,
    until: Until = None,
    kind: Kind = None,
    domain: Domain = None,
    batch: Batch = None,
    state: State = None,
    why: Why = None,
    answer: Answer = None,
    label: Label = None,
    outcome: Outcome = None,
    verdict: Verdict = None,
    model: Model = None,
    mode: Mode = None,
    calibration: Calibration = None,
    margin: Margin = None,
    degree: Degree = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, max=10_000, help="Decisions of one page; else 50.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every page, streamed, as JSON lines.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for all of them: .jsonl, .csv or .parquet.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, jsonl, csv or parquet.")] = None,
    save: Annotated[str | None, typer.Option(help="Keep these filters under a name.")] = None,
    query: Annotated[
        str | None, typer.Option(help="Filters kept under a name; what else is given takes their place.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find decisions, newest first: all options must hold, several values of one are alternatives.

    Examples:

        merge-reasoner audit find --since 3d --state abstained --why vote_margin

        merge-reasoner audit find --domain python --label wrong --margin 0.9.. --save sure-and-wrong

        merge-reasoner audit find --query sure-and-wrong --since 2026-05-01 --until 2026-05-31 --all -o may.parquet
    """
    shape = _format(output, form, as_json=as_json, everything=everything, limit=limit)
    options = given_options(
        since=since, until=until, kind=kind, domain=domain, batch=batch, state=state, why=why, answer=answer,
        label=label, outcome=outcome, verdict=verdict, model=model, mode=mode, calibration=calibration,
        margin=margin, degree=degree,
    )  # fmt: skip
    with told():
        settings = current_settings()
        with reading(settings) as store:
            options = (get_query(store, query, tenant=settings.tenant) if query else {}) | options
            filters = filters_of(options, store, tenant=settings.tenant)
            if save is not None:
                _save(store, save, options, tenant=settings.tenant)
            if everything or (output is not None and limit is None):
                found = find_all(store, filters, tenant=settings.tenant, after=after)
                n, cursor = write_rows(map(_whole, found), COLUMNS, shape, output), None
            else:
                page = find_page(store, filters, tenant=settings.tenant, limit=limit or PAGE, after=after)
                n, cursor = _write_page(page, shape, output), page.cursor
    # On standard error, so that what is piped into a file is decisions only.
    if output is not None:
        err.print(plain(f"{n} decisions in {output}"), soft_wrap=True)
    if cursor is not None:
        err.print(f"more: --after {cursor}", soft_wrap=True)


def _format(
    output: Path | None, form: str | None, *, as_json: bool, everything: bool, limit: int | None
) -> Format:
    if everything and limit is not None:
        raise fail("--all is every page and --limit is of one; leave out one of the two")
    shape = format_of(output, form, as_json=as_json)
    if not everything or shape is not Format.TABLE:
        return shape
    if form is not None:
        raise fail("a table has to be whole before it can be drawn; leave out --all, or --format table")
    return Format.JSON


def _save(store: Store, name: str, options: dict[str, Any], *, tenant: str) -> None:
    before = save_query(store, name, options, tenant=tenant)
    was = None if before is None else _options(before) or "without filters"
    err.print(plain(f"saved as {name}" if was is None else f"{name} replaced; it was: {was}"), soft_wrap=True)


def _write_page(page: Page, form: Format, path: Path | None) -> int:
    if form is Format.TABLE:
        return write_rows(map(_short, page.rows), SHORT, form, path)
    return write_rows(map(_whole, page.rows), COLUMNS, form, path)


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"models": row["models"].split(",") if row["models"] else []}


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "decided": row["decided_at"].strftime("%Y-%m-%d %H:%M"),
        "task_id": row["task_id"],
        "custom_id": row["custom_id"],
        "domain": row["domain"],
        "answer": row["answer"],
        "abstained": row["abstain_reasons"],
        "margin": row["vote_margin"],
        "degree": row["merge_degree"],
        "label": row["label"],
    }


def reindex_command(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make from the record what `find` and `stats` read, where it is missing.

    Example:

        merge-reasoner audit reindex
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            n = reindex(store, tenant=settings.tenant, all_of_them=everything)
    if as_json:
        print_json({"n_written": n})
    else:
        out.print(f"{n} search entries written")


def queries(
    remove: Annotated[str | None, typer.Option(help="Forget the one of this name.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the queries that have a name, or remove one.

    Examples:

        merge-reasoner audit queries

        merge-reasoner audit queries --remove sure-and-wrong
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            if remove is not None:
                if not remove_query(store, remove, tenant=settings.tenant):
                    raise fail(f"there is no query {remove!r}; `merge-reasoner audit queries` lists them")
                err.print(plain(f"{remove} removed"), soft_wrap=True)
                return
            found = list_queries(store, tenant=settings.tenant)
    if as_json:
        for one in found:
            print_json(one)
        return
    table = Table("name", "filters", "since")
    for one in found:
        table.add_row(
            plain(one["name"]), plain(_options(one["filters"])), one["created_at"].strftime("%Y-%m-%d %H:%M")
        )
    out.print(table)


def _options(filters: dict[str, Any]) -> str:
    """Return filters as they would be typed."""
    return " ".join(
        f"--{name} {one}"
        for name, value in filters.items()
        for one in (value if isinstance(value, list) else [value])
    )
