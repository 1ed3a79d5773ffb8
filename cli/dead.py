"""Commands about what failed: `retry` a batch's failed tasks, `dead` letters listed and driven again."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table

from cli.batches import BatchArgument, find_batch_called
from cli.connection import current_settings, open_publisher, opened_store, reading
from cli.console import Exit, JsonFlag, clipped, fail, out, plain, print_json, told
from cli.times import point_in_time
from worker.errors import MessageError
from worker.messages import STAGE_QUEUES, decode
from worker.publisher import Publisher
from worker.store.batches import Batch
from worker.store.dead import (
    ParkedMessage,
    dead_tasks,
    mark_redriven,
    parked_messages,
    retry,
    set_deadline,
)
from worker.store.story import find_task
from worker.store.transactions import Store

dead = typer.Typer(
    name="dead",
    help="Tasks and messages that were parked: list them, drive them again.",
    no_args_is_help=True,
)
MANY = 1000


def retry_command(
    batch: BatchArgument,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Only this one, by id or custom_id; may be repeated.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="A new deadline for the batch (90m, 2h, ISO 8601), or `none`.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Let the failed tasks of a batch go on where they failed; chains and verdicts on record are kept.

    Examples:

        merge-reasoner retry last

        merge-reasoner retry 0199c0de-... --task t-17 --deadline 2h
    """
    with told():
        settings = current_settings()
        publisher = open_publisher(settings)
        with opened_store(settings) as store:
            one = find_batch_called(store, batch, tenant=settings.tenant)
            _renew_deadline(store, one, deadline, tenant=settings.tenant)
            ids = None
            if task:
                ids = [find_task(store, name, tenant=settings.tenant, batch=str(one.id)) for name in task]
            revived = retry(store, tenant=settings.tenant, who="retry", batch_id=one.id, ids=ids)
        publisher.wake()
        if as_json:
            print_json({"batch_id": str(one.id), "n_retried": len(revived)})
        else:
            out.print(f"{len(revived)} tasks of batch {one.id} go on", soft_wrap=True)
    raise typer.Exit(Exit.OK if revived or not task else Exit.SOME_FAILED)


def _renew_deadline(store: Store, batch: Batch, deadline: str | None, *, tenant: str) -> None:
    if batch.cancelled_at is not None:
        raise fail(f"batch {batch.id} was cancelled; submit its tasks again under another key")
    if deadline is not None:
        time = None if deadline == "none" else point_in_time(deadline, option="--deadline")
        set_deadline(store, batch.id, time, tenant=tenant)
    elif batch.has_expired:
        raise fail(f"the deadline of batch {batch.id} has passed; give it a new one: --deadline 2h, or none")


@dead.command("list")
def list_dead(
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of each.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List tasks whose stage was begun again and again and never ended, and messages that nobody could read.

    Example:

        merge-reasoner dead list
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            tasks, messages = dead_tasks(store, tenant=settings.tenant, n=n), parked_messages(store, n=n)
        if as_json:
            for task in tasks:
                print_json(
                    {
                        "what": "task",
                        "id": str(task.id),
                        "batch_id": str(task.batch_id),
                        "custom_id": task.custom_id,
                        "at": task.at.isoformat(),
                        "reason": task.reason,
                    }
                )
            for message in messages:
                print_json(
                    {
                        "what": "message",
                        "id": str(message.id),
                        "queue": message.queue,
                        "at": message.at.isoformat(),
                        "reason": message.reason,
                        "body": message.body,
                    }
                )
            return
        table = Table("what", "id", "of", "since", "reason")
        table.columns[1].overflow = "fold"
        for task in tasks:
            when = task.at.isoformat(sep=" ", timespec="seconds")
            table.add_row(
                "task", str(task.id), plain(task.custom_id), when, plain(clipped(task.reason, n_chars=200))
            )
        for message in messages:
            when = message.at.isoformat(sep=" ", timespec="seconds")
            reason = plain(clipped(message.reason, n_chars=200))
            table.add_row("message", str(message.id), plain(message.queue), when, reason)
        out.print(table)


@dead.command("redrive")
def redrive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Tasks and messages as `dead list` names them; all when left out."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Let parked tasks go on where they were parked, and read parked messages once more.

    A message that still cannot be read, or that the broker does not take, stays on the list.

    Examples:

        merge-reasoner dead redrive

        merge-reasoner dead redrive 17 0199c0de-...
    """
    with told():
        settings = current_settings()
        publisher = open_publisher(settings)
        wanted = None if not ids else _sorted_out(ids)
        n_tasks = 0
        with opened_store(settings) as store:
            if wanted is None or wanted[0]:
                revived = retry(
                    store,
                    tenant=settings.tenant,
                    who="redrive",
                    ids=None if wanted is None else wanted[0],
                    only_dead=True,
                )
                n_tasks = len(revived)
            messages = [m for m in parked_messages(store, n=MANY) if wanted is None or m.id in wanted[1]]
            n_messages = send_again(store, publisher, messages)
        publisher.wake()
        if as_json:
            print_json(
                {"n_tasks": n_tasks, "n_messages": n_messages, "n_unreadable": len(messages) - n_messages}
            )
        else:
            left = (
                f"; {len(messages) - n_messages} still cannot be read or sent"
                if len(messages) > n_messages
                else ""
            )
            out.print(f"{n_tasks} tasks and {n_messages} messages driven again{left}", soft_wrap=True)


def _sorted_out(names: list[str]) -> tuple[list[UUID], set[int]]:
    tasks, messages = [], set()
    for name in names:
        if name.isdecimal() and len(name) < 19:
            messages.add(int(name))
            continue
        try:
            tasks.append(UUID(name))
        except ValueError:
            raise fail(f"{name!r} is neither a task's id nor a message's number; see `dead list`") from None
    return tasks, messages


def send_again(store: Store, publisher: Publisher, messages: list[ParkedMessage]) -> int:
    """Publish what can be read of ``messages``, mark it and return how many; the others stay where they are."""
    sent = []
    for message in messages:
        stage, arguments = _call(message)
        try:
            ids = decode(*arguments)
        except MessageError:
            continue
        # Marked only when it is in the broker: one that is full or away would lose it for good.
        if stage in STAGE_QUEUES and publisher.publish(stage, [(task_id, 9) for task_id in ids]):
            sent.append(message.id)
    mark_redriven(store, sent)
    return len(sent)


def _call(message: ParkedMessage) -> tuple[str, list[Any]]:
    """Return the stage that a parked message asks for, and with what; it names a stage that was unknown itself."""
    kept = message.body.get("message")
    stage, arguments = (
        (kept.get("stage"), kept.get("arguments")) if isinstance(kept, dict) else (message.queue, kept)
    )
    return str(stage), arguments if isinstance(arguments, list) else []
