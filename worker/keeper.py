"""Keeps the leases of a process alive while its threads work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from worker.errors import StoreUnavailableError
from worker.store.leases import HeldTask, let_go, renew
from worker.store.transactions import Store

logger = logging.getLogger(__name__)

OnLost = Callable[[UUID], None]

RENEWALS_PER_LEASE = 3  # two may fail before the lease is lost


class LeaseKeeper:
    """Renews what is held until it is let go; one daemon thread for the whole process.

    When the process is killed nothing renews, so the leases run out and somebody else takes the tasks. A lease that
    cannot be renewed is lost: the task was cancelled, or is another worker's by now, and what is done for it is wasted.
    """

    def __init__(self, engine: Store, *, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._held: dict[str | None, dict[tuple[UUID, int], OnLost]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._stop.set()

    def let_go(self, *, who: str) -> None:
        """Give back all that is held, so that nobody has to wait until the leases run out.

        Raises:
            StoreUnavailableError: The database is away; they will run out.
        """
        for verifier, pairs in self._now_held().items():
            let_go(self._engine, sorted(pairs), verifier=verifier, who=who)

    def fault(self) -> str:
        """Return what is wrong, or an empty string: leases that nobody renews are worked on twice."""
        return "" if self._thread.is_alive() else "leases are not renewed: the keeper has ended"

    @contextmanager
    def holding(
        self, tasks: Sequence[HeldTask], *, verifier: str | None = None, on_lost: OnLost = lambda _: None
    ) -> Iterator[None]:
        """Keep the leases of ``tasks`` (or of ``verifier``'s turns at them) for the length of the block.

        Args:
            tasks: What is held.
            verifier: Whose turns.
            on_lost: Is told the id of each task whose lease is gone, the finished ones included; must be quick.
        """
        mine = {(task.id, task.attempt): on_lost for task in tasks}
        with self._lock:
            self._held.setdefault(verifier, {}).update(mine)
        try:
            yield
        finally:
            with self._lock:
                for pair in mine:
                    self._held[verifier].pop(pair, None)

    def _now_held(self) -> dict[str | None, dict[tuple[UUID, int], OnLost]]:
        with self._lock:
            return {verifier: dict(pairs) for verifier, pairs in self._held.items() if pairs}

    def _run(self) -> None:
        while not self._stop.wait(self._lease_s / RENEWALS_PER_LEASE):
            for verifier, pairs in self._now_held().items():
                try:
                    self._renew(verifier, pairs)
                except StoreUnavailableError as error:
                    logger.warning("leases not renewed", extra={"n": len(pairs), "error": str(error)})
                except Exception:  # without this thread every task of the process would be done twice
                    logger.exception("leases not renewed", extra={"n": len(pairs)})

    def _renew(self, verifier: str | None, pairs: dict[tuple[UUID, int], OnLost]) -> None:
        kept = renew(self._engine, sorted(pairs), verifier=verifier, lease_s=self._lease_s)
        self._let_go(verifier, {pair: told for pair, told in pairs.items() if pair[0] not in kept})

    def _let_go(self, verifier: str | None, lost: dict[tuple[UUID, int], OnLost]) -> None:
        with self._lock:
            for pair in lost:
                self._held[verifier].pop(pair, None)
        for (task_id, _), on_lost in lost.items():
            try:
                on_lost(task_id)
            except Exception:
                logger.exception("nobody was told of a lost lease", extra={"task_id": str(task_id)})
