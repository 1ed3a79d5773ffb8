"""Commands that carry a record from one installation to another."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.batches import find_batch_called
from cli.connection import current_settings, reading
from cli.console import JsonFlag, me, out, plain, print_json, told
from cli.times import age
from worker.months import id_at
from worker.store.entries import reindex
from worker.store.exporting import HIGHEST, LOWEST, Wanted
from worker.transfer import export, import_file


def export_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Is made; compressed when it ends in .gz.", dir_okay=False)
    ],
    batch: Annotated[str | None, typer.Option(help="Only this batch, an id or `last`.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Submitted at this time or later: 2026-05-03, or an age like 3mo.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Submitted before this time.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write finished tasks with everything on record about them into one file, which `audit import` reads.

    Examples:

        merge-reasoner audit export -o ledger.jsonl.gz

        merge-reasoner audit export --since 2026-05-01 --until 2026-06-01 -o may.jsonl.gz
    """
    with told():
        settings = current_settings()
        now = datetime.now(UTC)
        from_id = LOWEST if since is None else id_at(age(since, now=now, option="--since"))
        until_id = HIGHEST if until is None else id_at(age(until, now=now, option="--until"))
        with reading(settings) as store:
            only = None if batch is None else find_batch_called(store, batch, tenant=settings.tenant).id
            wanted = Wanted(tenant=settings.tenant, from_id=from_id, until_id=until_id, batch=only)
            made = export(store, wanted, output)
    n_tasks = made.counts.get("task", 0)
    if as_json:
        print_json({"file": str(made.path), "n_tasks": n_tasks, "sha256": made.sha256})
    else:
        out.print(plain(f"{made.path}: {n_tasks} tasks, sha256 of the lines {made.sha256}"), soft_wrap=True)


def import_command(
    file: Annotated[Path, typer.Argument(help="What `audit export` wrote.", dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Bring a file's tasks into this tenant's record, all or nothing; again, it changes nothing.

    Ids stay as they were. What is on record here with another content ends the import. Calibrations come along as
    retired: they explain the decisions and decide nothing here.

    Example:

        merge-reasoner audit import ledger.jsonl.gz
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            made = import_file(store, file, tenant=settings.tenant, who=me())
            reindex(store, tenant=settings.tenant)  # so that what came can be found
    n_new = made.rows.get("tasks", 0)
    if as_json:
        import_id = None if made.import_id is None else str(made.import_id)
        print_json({"n_tasks": made.n_tasks, "n_new": n_new, "rows": made.rows, "import_id": import_id})
        return
    out.print(f"{made.n_tasks} tasks in the file, {n_new} of them new here")
    if made.import_id is not None:
        out.print("the next seal takes them in; until then they are told as imported")
