"""Keeps the leases of a process alive while its threads work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from worker.errors import StoreUnavailableError
from worker.store.leases import HeldTask, let_go, renew
from worker.store.transactions import Store

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3  # two may fail before the lease is lost


class LeaseKeeper:
    """Renews what is held until it is let go; one daemon thread for the whole process.

    When the process is killed nothing renews, so the leases run out and somebody else takes the tasks.
    """

    def __init__(self, engine: Store, *, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._held: dict[str | None, set[tuple[UUID, int]]] = {}
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
            let_go(self._engine, pairs, verifier=verifier, who=who)

    def fault(self) -> str:
        """Return what is wrong, or an empty string: leases that nobody renews are worked on twice."""
        return "" if self._thread.is_alive() else "leases are not renewed: the keeper has ended"

    @contextmanager
    def holding(self, tasks: Sequence[HeldTask], *, verifier: str | None = None) -> Iterator[None]:
        """Keep the leases of ``tasks`` (or of ``verifier``'s turns at them) for the length of the block."""
        mine = {(task.id, task.attempt) for task in tasks}
        with self._lock:
            self._held.setdefault(verifier, set()).update(mine)
        try:
            yield
        finally:
            with self._lock:
                self._held[verifier] -= mine

    def _now_held(self) -> dict[str | None, list[tuple[UUID, int]]]:
        with self._lock:
            return {verifier: sorted(pairs) for verifier, pairs in self._held.items() if pairs}

    def _run(self) -> None:
        while not self._stop.wait(self._lease_s / RENEWALS_PER_LEASE):
            for verifier, pairs in self._now_held().items():
                try:
                    renew(self._engine, pairs, verifier=verifier, lease_s=self._lease_s)
                except StoreUnavailableError as error:
                    logger.warning("leases not renewed", extra={"n": len(pairs), "error": str(error)})
