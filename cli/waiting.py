"""Waiting for a batch while showing that it is alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.console import err
from worker.errors import StoreUnavailableError, UnknownTaskError
from worker.store.batches import Batch, get_batch
from worker.store.transactions import Store

POLL_S = 0.5
POLL_SHARE = (
    20.0  # a large batch takes long to count; waiting for it must not be what the database does all day
)
LINE_EVERY_S = 10.0  # where there is no terminal to redraw, a line now and then


def wait_for_batch(
    store: Store,
    batch_id: UUID,
    *,
    tenant: str,
    quiet: bool = False,
    each_poll: Callable[[], None] = lambda: None,
) -> Batch:
    """Return the batch once every task of it has a result; survives a database that is away for a while.

    Raises:
        UnknownTaskError: There is no such batch.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    bar = Progress(*columns, TextColumn("{task.fields[states]}"), TimeElapsedColumn(), console=err)
    bar.disable = quiet or not err.is_terminal
    next_line_at = time.monotonic() + LINE_EVERY_S
    with bar:
        shown = bar.add_task("tasks", total=None, states="")
        while True:
            each_poll()
            asked_s = time.monotonic()
            try:
                batch = get_batch(store, batch_id, tenant=tenant)
            except StoreUnavailableError:
                time.sleep(POLL_S)
                continue
            if batch is None:
                raise UnknownTaskError(f"no batch {batch_id}")
            states = ", ".join(f"{n} {state}" for state, n in sorted(batch.states.items()))
            bar.update(shown, total=batch.n_tasks, completed=batch.n_finished, states=states)
            if bar.disable and not quiet and time.monotonic() >= next_line_at:
                err.print(f"{batch.n_finished} of {batch.n_tasks} tasks finished ({states})")
                next_line_at = time.monotonic() + LINE_EVERY_S
            if batch.is_finished:
                return batch
            time.sleep(max(POLL_S, POLL_SHARE * (time.monotonic() - asked_s)))
