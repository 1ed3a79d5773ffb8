"""The command `audit stats`: what became of tasks over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connection import current_settings, reading
from cli.console import JsonFlag, err, plain, told
from cli.filters import Batch, Domain, Kind, Model, Since, Until, filters_of, given_options
from cli.rows import Format, format_of, write_rows
from worker.store.statistics import Count, count

COLUMNS = (
    *("period", "value", "decisions", "answered", "abstained_why", "labelled", "agreement", "mean_set"),
    *("mean_degree", "tokens_spent", "tokens_saved", "failed"),
)


def stats(
    since: Since = None,
    until: Until = None,
    kind: Kind = None,
    domain: Domain = None,
    batch: Batch = None,
    model: Model = None,
    every: Annotated[str | None, typer.Option(help="A row for each day, week or month (UTC).")] = None,
    by: Annotated[str | None, typer.Option(help="A row for each kind, domain or model.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, .jsonl, .csv or .parquet.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, jsonl, csv or parquet.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count decisions: how many were answered, why others were not, how often labels agree, what it cost.

    `answered` is the share of decisions that are answers; `agreement` the share of right ones among the answers whose
    label could be compared with them (`labelled` of them); failed tasks have no decision and stand beside.

    Examples:

        merge-reasoner audit stats --since 30d --every week

        merge-reasoner audit stats --since 2026-05-01 --until 2026-05-31 --by domain -o may.csv
    """
    shape = format_of(output, form, as_json=as_json)
    options = given_options(since=since, until=until, kind=kind, domain=domain, batch=batch, model=model)
    with told():
        settings = current_settings()
        with reading(settings) as store:
            filters = filters_of(options, store, tenant=settings.tenant)
            found = count(store, filters, tenant=settings.tenant, every=every, by=by)
    columns = [name for name in COLUMNS if (name != "period" or every) and (name != "value" or by)]
    rows = [_row(one, as_shares=shape is Format.TABLE) for one in found]
    n = write_rows(rows, columns, shape, output)
    if output is not None:
        err.print(plain(f"{n} rows in {output}"), soft_wrap=True)


def _row(one: Count, *, as_shares: bool) -> dict[str, Any]:
    reasons = dict(one.reasons.most_common())
    if as_shares:
        why: object = ", ".join(f"{name} {n / one.n:.1%}" for name, n in reasons.items())
    else:
        why = reasons
    return {
        "period": one.period,
        "value": one.value,
        "decisions": one.n,
        "answered": one.answered,
        "abstained_why": why,
        "labelled": one.n_right + one.n_wrong,
        "agreement": one.agreement,
        "mean_set": one.mean_set_size,
        "mean_degree": one.mean_merge_degree,
        "tokens_spent": one.tokens_spent,
        "tokens_saved": one.tokens_saved,
        "failed": one.n_failed,
    }
