"""An event loop on a thread of its own, for engines whose library is asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from typing import Any, TypeVar

from worker.engines.cancellation import Cancellation
from worker.errors import EngineUnavailableError

T = TypeVar("T")


class EventLoop:
    """Runs coroutines for callers in any thread.

    Args:
        name: Of the engine; for the thread and for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{name}-engine", daemon=True)
        self._thread.start()
        self._closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed.is_set()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin; cancelling the future cancels the coroutine where it waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def as_they_finish(
        self, coroutines: Sequence[Coroutine[Any, Any, T]], cancellation: Cancellation | None = None
    ) -> Generator[T, None, None]:
        """Yield what the coroutines return; closing the generator, or an error of one, cancels the others.

        Raises:
            EngineUnavailableError: The loop was closed under way.
            SamplingCancelledError: The cancellation was given.
        """
        cancellation = cancellation or Cancellation()
        futures = [self.start(coroutine) for coroutine in coroutines]

        def abort() -> None:
            for future in futures:
                future.cancel()

        try:
            with cancellation.telling(abort):
                for future in as_completed(futures):
                    cancellation.check()
                    try:
                        result = future.result()
                    except CancelledError as error:
                        cancellation.check()
                        raise EngineUnavailableError(
                            f"the {self._name} engine was closed under way"
                        ) from error
                    yield result
        finally:
            abort()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what runs, run ``last`` and end the thread; only the first call does anything."""
        if self._closed.is_set():
            last.close()
            return
        self._closed.set()
        self.start(self._wind_up(last)).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_up(self, last: Coroutine[Any, Any, None]) -> None:
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await last
