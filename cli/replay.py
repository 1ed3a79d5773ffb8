"""The command that makes old decisions again and says where they differ."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import typer

from cli.batches import find_batch_called
from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, clipped, fail, out, plain, print_json, told
from cli.times import past_time
from worker.replay_pool import ReplayedPage, replay_all
from worker.replaying import Replayed
from worker.settings import Settings
from worker.store.replays import Selection
from worker.store.story import find_task
from worker.store.transactions import Store

MAX_SHOWN_CHARS = 60


@dataclass(slots=True)
class Tally:
    """What a replay has come to so far."""

    same: int = 0
    different: int = 0
    unreplayable: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)

    def add(self, page: ReplayedPage) -> None:
        """Count a page."""
        self.same += page.n_decisions - len(page.others)
        for one in page.others:
            self.different += one.result == "different"
            if one.result == "unreplayable":
                self.unreplayable[one.why] += 1
            self.fields.update({difference.field for difference in one.differences})

    @property
    def n_decisions(self) -> int:
        """All of them."""
        return self.same + self.different + self.unreplayable.total()


def replay_command(
    task: Annotated[
        str | None, typer.Argument(help="A task id, or a custom_id (the newest one of that name).")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(help="All of a batch (`last`: the newest), or where to look for the custom_id."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Decided then or later: 3d, 90m (ago), or 2026-05-03T18:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Decided before.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every decision on record.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that replay; as many as there are cores.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1e-6, help="Relative difference of numbers that counts as none.")
    ] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Make decisions again from stored chains, verdicts and calibration, and compare them field by field.

    Each is made again with the calibration it names and the rows it rested on; no model and no verifier runs. Exit code
    1 means that a field differs. What rests on rows that were pruned is told as unreplayable, which is no difference.

    Examples:

        merge-reasoner audit replay t-17

        merge-reasoner audit replay --since 2026-05-03 --until 2026-05-04 --json

        merge-reasoner audit replay --all --processes 8
    """
    if not (task or batch or since or until or everything):
        raise fail("say what to replay: a task, --batch, --since, --until, or --all")
    if everything and (task or batch or since or until):
        raise fail(
            "--all is every decision: leave out the task, --batch, --since and --until, or leave out --all"
        )
    if task is not None and (since or until):
        raise fail("a task is replayed with all of its decisions: leave out --since and --until")
    with told():
        settings = current_settings()
        with reading(settings) as store:
            selection = _selection(store, settings, task, batch, since, until)
            tally = _replay(store, selection, processes, tolerance, as_json=as_json)
    if task is not None and not tally.n_decisions:
        raise fail(f"task {task!r} has no decision yet")
    _tell(tally, as_json=as_json)
    if tally.different:
        raise typer.Exit(Exit.SOME_FAILED)


def _selection(
    store: Store,
    settings: Settings,
    task: str | None,
    batch: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    batch_id = None if batch is None else find_batch_called(store, batch, tenant=settings.tenant).id
    if task is not None:
        within = None if batch_id is None else str(batch_id)
        return Selection(
            tenant=settings.tenant, task=find_task(store, task, tenant=settings.tenant, batch=within)
        )
    return Selection(
        tenant=settings.tenant,
        batch=batch_id,
        since=past_time(since, option="--since"),
        until=past_time(until, option="--until"),
    )


def _replay(
    store: Store, selection: Selection, processes: int | None, tolerance: float, *, as_json: bool
) -> Tally:
    n_processes = 1 if selection.task is not None else processes or _n_cores()
    tally = Tally()
    for page in replay_all(store, selection, processes=n_processes, tolerance=tolerance):
        tally.add(page)
        for line in _lines(page, as_json=as_json):
            out.print(line, soft_wrap=True)
    return tally


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container may be given fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lines(page: ReplayedPage, *, as_json: bool) -> Iterator[str]:
    for one in page.others:
        if as_json:
            print_json({"type": "decision", **one.to_json()})
        elif one.result == "different":
            yield from _told(one)


def _told(one: Replayed) -> Iterator[str]:
    yield plain(
        f"task {one.task_id} ({clipped(one.custom_id, n_chars=MAX_SHOWN_CHARS)}), decision {one.decision_id}:"
    )
    for found in one.differences:
        stored, again = (
            clipped(str(value), n_chars=MAX_SHOWN_CHARS) for value in (found.stored, found.again)
        )
        yield plain(f"  {found.field}: stored {stored}, recomputed {again}")


def _tell(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "type": "summary",
                "decisions": tally.n_decisions,
                "same": tally.same,
                "different": tally.different,
                "fields": dict(tally.fields.most_common()),
                "unreplayable": tally.unreplayable.total(),
                "why_unreplayable": dict(tally.unreplayable.most_common()),
            }
        )
        return
    out.print(
        f"{tally.n_decisions} decisions: {tally.same} the same, {tally.different} different, "
        f"{tally.unreplayable.total()} unreplayable"
    )
    for name, n in tally.fields.most_common():
        out.print(plain(f"  {name} differs in {n}"), soft_wrap=True)
    for why, n in tally.unreplayable.most_common():
        out.print(plain(f"  unreplayable, {n}: {why}"), soft_wrap=True)
