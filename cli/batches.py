"""Commands about batches: submit, status, results, cancel."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO, cast
from uuid import UUID

import typer
from rich.table import Table

from cli.connection import current_settings, open_publisher, opened_store, reading
from cli.console import Exit, JsonFlag, err, fail, out, plain, print_json, told
from cli.times import point_in_time
from cli.waiting import wait_for_batch
from worker.errors import SubmissionError
from worker.store.batches import Batch, get_batch, recent_batches, results
from worker.store.ending import cancel_batch
from worker.store.transactions import Store
from worker.submitting import Submission
from worker.submitting import submit as submit_file

BatchArgument = Annotated[str, typer.Argument(help="A batch id, or `last` for the newest one.")]


def submit(
    file: Annotated[Path, typer.Argument(help="JSON lines, one task each; - reads standard input.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until every task has a result.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse the whole file for one bad line.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", help="Sending the key again finds the batch. Default: the content's hash."
        ),
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Where bad lines go. Default: FILE.errors.jsonl beside the file.")
    ] = None,
    not_before: Annotated[
        str | None, typer.Option(help="Begin no task earlier: a span (90m, 2h) or ISO 8601.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="What has no result by then fails and says so: a span or ISO 8601.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Submit the tasks of a file as one batch; bad lines are told and the good ones run.

    Examples:

        merge-reasoner submit tasks.jsonl --wait

        zcat tasks.jsonl.gz | merge-reasoner submit - --idempotency-key nightly-2026-05-03

        merge-reasoner submit tasks.jsonl --not-before 2h --deadline 2026-05-04T06:00Z
    """
    with told():
        settings = current_settings()
        publisher = open_publisher(settings)
        name = "stdin" if str(file) == "-" else file.name
        error_file = errors or (
            Path(f"{name}.errors.jsonl") if name == "stdin" else Path(f"{file}.errors.jsonl")
        )
        with opened_store(settings) as store, _opened(file) as stream:
            try:
                made = submit_file(
                    store,
                    publisher,
                    stream,
                    file=name,
                    error_file=error_file,
                    settings=settings,
                    key=key,
                    strict=strict,
                    not_before=point_in_time(not_before, option="--not-before"),
                    deadline=point_in_time(deadline, option="--deadline"),
                )
            except SubmissionError as error:
                raise fail(str(error)) from error
            _tell_submission(made, as_json=as_json)
            failed = made.n_rejected > 0
            if wait:
                batch = wait_for_batch(store, made.batch_id, tenant=settings.tenant, quiet=as_json)
                failed |= batch.states.get("failed", 0) > 0
                _tell_batch(batch, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if failed else Exit.OK)


def status(
    batch: Annotated[
        str | None, typer.Argument(help="A batch id, or `last`; all recent ones when left out.")
    ] = None,
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many batches.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show how far batches are.

    Examples:

        merge-reasoner status

        merge-reasoner status last --json
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            if batch is None:
                _tell_batches(recent_batches(store, tenant=settings.tenant, n=n), as_json=as_json)
                return
            one = find_batch_called(store, batch, tenant=settings.tenant)
        _tell_batch(one, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if one.states.get("failed") else Exit.OK)


def results_command(
    batch: BatchArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; standard output when left out.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only the tasks that failed.")] = False,
) -> None:
    """Write one decision line per task, in the order of submission; unfinished tasks have no answer yet.

    Examples:

        merge-reasoner results last -o results.jsonl

        merge-reasoner results 0199c0de-... --errors
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            one = find_batch_called(store, batch, tenant=settings.tenant)
            n_failed = write_results(store, one.id, output, only_failed=errors)
        if not one.is_finished:
            err.print(
                f"{one.n_tasks - one.n_finished} of {one.n_tasks} tasks are not finished: partial results"
            )
    raise typer.Exit(Exit.SOME_FAILED if n_failed else Exit.OK)


def cancel(batch: BatchArgument, as_json: JsonFlag = False) -> None:
    """Cancel every task of a batch that has no result yet.

    Example:

        merge-reasoner cancel last
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            one = find_batch_called(store, batch, tenant=settings.tenant)
            n = cancel_batch(store, one.id, tenant=settings.tenant, who="cancel")
        if as_json:
            print_json({"batch_id": str(one.id), "n_cancelled": n})
        else:
            out.print(f"{n} of {one.n_tasks} tasks of batch {one.id} cancelled")


def write_results(store: Store, batch_id: UUID, output: Path | None, *, only_failed: bool = False) -> int:
    """Write decision lines to ``output``, complete or not at all; return how many tasks failed."""
    if output is None:
        return _write_lines(store, batch_id, sys.stdout, only_failed=only_failed)
    target = output.resolve()  # a link stays a link
    try:
        if target.exists() and not target.is_file():  # a device or a pipe is written to, never replaced
            with target.open("w", encoding="utf-8") as stream:
                return _write_lines(store, batch_id, stream, only_failed=only_failed)
        temporary = target.with_name(target.name + ".part")
        with temporary.open("w", encoding="utf-8") as stream:
            n_failed = _write_lines(store, batch_id, stream, only_failed=only_failed)
        temporary.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise fail(f"cannot write {output}: {error.strerror}") from error
    return n_failed


def _write_lines(store: Store, batch_id: UUID, stream: TextIO, *, only_failed: bool) -> int:
    n_failed = 0
    for line in results(store, batch_id):
        n_failed += line["state"] == "failed"
        if not only_failed or line["state"] == "failed":
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return n_failed


def _opened(file: Path) -> BinaryIO:
    if str(file) != "-":
        try:
            stream = file.open("rb")
        except OSError as error:
            raise fail(f"cannot read {file}: {error.strerror}") from error
        return stream if stream.seekable() else _spooled(stream)
    return _spooled(sys.stdin.buffer)


def _spooled(stream: BinaryIO) -> BinaryIO:
    spooled = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the caller)  # read twice: for the key, for the lines
    shutil.copyfileobj(stream, spooled)
    spooled.seek(0)
    return cast("BinaryIO", spooled)


def find_batch_called(store: Store, name: str, *, tenant: str) -> Batch:
    """Return the tenant's batch of this id, or its newest one when ``name`` is `last`."""
    if name == "last":
        newest = recent_batches(store, tenant=tenant, n=1)
        if not newest:
            raise fail("no batch was submitted yet")
        return newest[0]
    try:
        found = get_batch(store, UUID(name), tenant=tenant)
    except ValueError:
        raise fail(f"{name!r} is no batch id; `merge-reasoner status` lists them") from None
    if found is None:
        raise fail(f"no batch {name}; `merge-reasoner status` lists them")
    return found


def _tell_submission(made: Submission, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "batch_id": str(made.batch_id),
                "n_tasks": made.n_tasks,
                "n_rejected": made.n_rejected,
                "existed": made.existed,
                "error_file": None if made.error_file is None else str(made.error_file),
            }
        )
        return
    for problem in made.problems:
        err.print(plain(str(problem)), soft_wrap=True)
    if made.error_file is not None:
        err.print(plain(f"{made.n_rejected} bad lines; all of them: {made.error_file}"), soft_wrap=True)
    what = "was submitted before, nothing was sent twice" if made.existed else "submitted"
    out.print(f"batch {made.batch_id} {what}: {made.n_tasks} tasks", soft_wrap=True)


def batch_json(batch: Batch) -> dict[str, object]:
    """Return a batch as JSON values."""
    return {
        "batch_id": str(batch.id),
        "source": batch.source,
        "created_at": batch.created_at.isoformat(),
        "cancelled": batch.cancelled_at is not None,
        "deadline": None if batch.deadline_at is None else batch.deadline_at.isoformat(),
        "n_expired": batch.n_expired,
        "n_tasks": batch.n_tasks,
        "n_rejected_lines": batch.n_rejected_lines,
        "finished": batch.is_finished,
        "states": batch.states,
    }


def _tell_batch(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        print_json(batch_json(batch))
        return
    states = ", ".join(f"{n} {state}" for state, n in sorted(batch.states.items()))
    expired = f"; {batch.n_expired} failed because the deadline passed" if batch.n_expired else ""
    done = f"{batch.n_finished} of {batch.n_tasks} finished ({states}{expired})"
    out.print(f"batch {batch.id}: {done}", soft_wrap=True)


def _tell_batches(batches: list[Batch], *, as_json: bool) -> None:
    if as_json:
        for batch in batches:
            print_json(batch_json(batch))
        return
    table = Table("batch", "source", "submitted", "tasks", "finished", "states")
    table.columns[0].no_wrap = True  # an id that is cut cannot be copied
    table.columns[0].overflow = "fold"
    for batch in batches:
        states = ", ".join(f"{n} {state}" for state, n in sorted(batch.states.items()))
        when = batch.created_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(
            str(batch.id), plain(batch.source), when, str(batch.n_tasks), str(batch.n_finished), states
        )
    out.print(table)
