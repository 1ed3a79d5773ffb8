"""The same work on many pieces: here, or spread over processes with a connection each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from db.session import connect
from worker.store.transactions import Store

PieceT = TypeVar("PieceT")
ResultT = TypeVar("ResultT")

AHEAD = 2  # pieces that wait for each process, so that memory stays bounded and none idles

_stores: list[Store] = []


def _open(database_url: str) -> None:
    _stores.append(connect(database_url, pool_size=1))


def _at_hand(work: Callable[[Store, PieceT], ResultT], piece: PieceT) -> ResultT:
    return work(_stores[0], piece)


class Hands:
    """Does work on pieces and gives the results in order; to be closed."""

    def __init__(self, store: Store, *, processes: int) -> None:
        self._store = store
        self._most = processes * AHEAD
        self._pool = (
            ProcessPoolExecutor(
                processes,
                mp_context=get_context("spawn"),  # a fork would share our connections
                initializer=_open,
                initargs=(store.url.render_as_string(hide_password=False),),
            )
            if processes > 1
            else None
        )

    def map(self, work: Callable[[Store, PieceT], ResultT], pieces: Iterable[PieceT]) -> Iterator[ResultT]:
        """Yield ``work(store, piece)`` for each piece; ``work`` is a function of a module."""
        if self._pool is None:
            for piece in pieces:
                yield work(self._store, piece)
            return
        waiting: deque[Future[ResultT]] = deque()
        for piece in pieces:
            waiting.append(self._pool.submit(_at_hand, work, piece))
            if len(waiting) > self._most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        """Let the processes go."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
