"""Many decisions replayed: page by page, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from db.session import connect
from worker.errors import ReplayError
from worker.replaying import Replayed, replay
from worker.store.replays import Selection, decision_pages, load_page
from worker.store.transactions import Store, address

PAGES_EACH = 3  # under way or waiting for a process: what bounds the memory, whatever the number of decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedPage:
    """What became of one page."""

    n_decisions: int
    others: list[Replayed]
    """Those that did not come out the same."""


def replay_all(
    store: Store, selection: Selection, *, processes: int = 1, tolerance: float = 0.0
) -> Generator[ReplayedPage, None, None]:
    """Yield page after page of the replay, in the order of the decisions.

    Args:
        store: The database; other processes open connections of their own.
        selection: Which decisions.
        processes: With 1, this one.
        tolerance: See ``replay``.

    Raises:
        ReplayError: A process was ended from outside.
        StoreUnavailableError: The database is away.
    """
    pages = decision_pages(store, selection)
    if processes == 1:
        for ids in pages:
            yield replay_page(store, ids, tenant=selection.tenant, tolerance=tolerance)
        return
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # connections and threads of ours must not be copied
        initializer=_open,
        initargs=(address(store), selection.tenant, tolerance),
    ) as pool:
        try:
            yield from _in_order(pool, pages, n_ahead=processes * PAGES_EACH)
        except BrokenProcessPool as error:
            raise ReplayError("a process of the replay was ended from outside; run it again") from error
        finally:
            pool.shutdown(cancel_futures=True)


def replay_page(store: Store, ids: Sequence[UUID], *, tenant: str, tolerance: float) -> ReplayedPage:
    """Replay some decisions of a tenant."""
    replayed = [replay(one, tolerance=tolerance) for one in load_page(store, ids, tenant=tenant)]
    return ReplayedPage(n_decisions=len(replayed), others=[one for one in replayed if one.result != "same"])


def _in_order(
    pool: ProcessPoolExecutor, pages: Iterator[list[UUID]], *, n_ahead: int
) -> Iterator[ReplayedPage]:
    waiting: deque[Future[ReplayedPage]] = deque(
        pool.submit(_replay_here, ids) for ids in islice(pages, n_ahead)
    )
    while waiting:
        yield waiting.popleft().result()
        with suppress(StopIteration):
            waiting.append(pool.submit(_replay_here, next(pages)))


class _Process:
    """What a process of the pool keeps between its pages."""

    store: Store
    tenant: str
    tolerance: float


def _open(url: str, tenant: str, tolerance: float) -> None:
    _Process.store, _Process.tenant, _Process.tolerance = connect(url, pool_size=1), tenant, tolerance


def _replay_here(ids: Sequence[UUID]) -> ReplayedPage:
    return replay_page(_Process.store, ids, tenant=_Process.tenant, tolerance=_Process.tolerance)
