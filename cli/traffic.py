"""Commands about the traffic: `queue` pauses and resumes, `limit` bounds how fast tasks start."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from cli.connection import current_settings, opened_store, reading
from cli.console import Exit, JsonFlag, fail, me, out, plain, print_json, shown, tell, told
from worker.messages import STAGE_QUEUES
from worker.store.texts import storable
from worker.store.traffic import all_limits, pause, queue_states, remove_limit, resume, set_limit

queue = typer.Typer(name="queue", help="Look at the queues, pause and resume them.", no_args_is_help=True)
limit = typer.Typer(
    name="limit", help="Bound how many tasks of a tenant or a model start.", no_args_is_help=True
)

QueueArgument = Annotated[str, typer.Argument(help=f"One of: {', '.join(STAGE_QUEUES)}.")]


class Scope(StrEnum):
    """What a limit is about."""

    TENANT = "tenant"
    MODEL = "model"


@queue.command("list")
def list_queues(as_json: JsonFlag = False) -> None:
    """Show what waits where, since when, and what is paused.

    Example:

        merge-reasoner queue list
    """
    with told():
        with reading(current_settings()) as store:
            states = queue_states(store)
        if as_json:
            for state in states:
                print_json(asdict(state))
            return
        table = Table("queue", "waiting", "not published", "oldest (s)", "window", "paused")
        for state in states:
            paused = "" if state.paused_at is None else f"by {state.paused_by}: {state.why}".rstrip(": ")
            table.add_row(
                state.name,
                str(state.n_waiting),
                str(state.n_backlog),
                shown(round(state.oldest_s)) if state.n_waiting else "-",
                shown(state.window),
                plain(paused),
            )
        out.print(table)


@queue.command("pause")
def pause_queue(
    name: QueueArgument,
    why: Annotated[str, typer.Option(help="For whoever wonders later.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Let no stage of a queue begin; what is at work ends, and what waits is kept.

    Example:

        merge-reasoner queue pause verify.code --why "new sandbox image"
    """
    with told():
        _known(name)
        with opened_store(current_settings()) as store:
            pause(store, name, who=me(), why=why)
        tell(as_json, f"{name} is paused", queue=name, paused=True)


@queue.command("resume")
def resume_queue(name: QueueArgument, as_json: JsonFlag = False) -> None:
    """Let stages of a queue begin again.

    Example:

        merge-reasoner queue resume verify.code
    """
    with told():
        _known(name)
        with opened_store(current_settings()) as store:
            was_paused = resume(store, name)
        tell(as_json, f"{name} runs" if was_paused else f"{name} was not paused", queue=name, paused=False)


@limit.command("list")
def list_limits(as_json: JsonFlag = False) -> None:
    """Show every limit.

    Example:

        merge-reasoner limit list --json
    """
    with told():
        with reading(current_settings()) as store:
            limits = all_limits(store)
        if as_json:
            for one in limits:
                print_json(asdict(one))
            return
        table = Table("of", "name", "tasks/s", "burst", "left")
        for one in limits:
            table.add_row(one.scope, plain(one.name), shown(one.per_s), shown(one.burst), shown(one.tokens))
        out.print(table)


@limit.command("set")
def set_one(
    scope: Annotated[Scope, typer.Argument(help="Whose tasks.")],
    name: Annotated[str, typer.Argument(help="The tenant's or the model's name.")],
    per_s: Annotated[
        float, typer.Option("--per-second", help="Tasks that may start in a second; 0.5 is one in two.")
    ],
    burst: Annotated[
        float | None,
        typer.Option(help="Tasks that may start at once after a quiet time. Default: one second's."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Bound how many tasks start. What was begun, and is begun again after a fault, is not counted twice.

    Examples:

        merge-reasoner limit set tenant qa --per-second 5 --burst 50

        merge-reasoner limit set model default --per-second 2
    """
    with told():
        at_once = max(per_s, 1.0) if burst is None else burst
        if not (math.isfinite(per_s) and per_s > 0):
            raise fail("--per-second must be above 0; to stop a queue, pause it")
        if not (math.isfinite(at_once) and at_once >= 1):
            raise fail("--burst must be 1 or more, else nothing could ever start")
        name = storable(name)
        with opened_store(current_settings()) as store:
            try:
                set_limit(store, scope=scope.value, name=name, per_s=per_s, burst=at_once)
            except ValueError as error:
                raise fail(str(error)) from None
        text = f"{scope.value} {name}: {per_s:g} tasks/s, {at_once:g} at once"
        tell(as_json, text, scope=scope.value, name=name, per_s=per_s, burst=at_once)


@limit.command("remove")
def remove_one(
    scope: Annotated[Scope, typer.Argument(help="Whose tasks.")],
    name: Annotated[str, typer.Argument(help="The tenant's or the model's name.")],
    as_json: JsonFlag = False,
) -> None:
    """Lift a limit.

    Example:

        merge-reasoner limit remove tenant qa
    """
    with told():
        with opened_store(current_settings()) as store:
            existed = remove_limit(store, scope=scope.value, name=name)
        tell(as_json, "lifted" if existed else "there was no such limit", removed=existed)
    raise typer.Exit(Exit.OK if existed else Exit.SOME_FAILED)


def _known(name: str) -> None:
    if name not in STAGE_QUEUES:
        raise fail(f"unknown queue {name!r}; the queues are {', '.join(STAGE_QUEUES)}")
