"""Chains of tasks that lost their engine half-way, until this worker takes them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from uuid import UUID

from worker.engines.protocol import ChainRequest
from worker.store.chains import StoredChain

MOST_CHAINS = 8192
"""In all: some 100 MB when every chain is long. The tasks that have waited longest lose theirs first."""

Chains = dict[ChainRequest, StoredChain]
"""Chains by what was asked for: whatever changes a request (other instructions, say) leaves the chain behind."""


class Unfinished:
    """Keeps them in memory, since a chain in the database would be part of a record that nobody may ever complete.

    A worker that takes a task over from another samples all of its chains.
    """

    def __init__(self, most: int = MOST_CHAINS) -> None:
        self._most = most
        self._kept: OrderedDict[UUID, Chains] = OrderedDict()
        self._n_chains = 0
        self._lock = threading.Lock()

    def take(self, task_id: UUID) -> Chains:
        """Return the task's chains, and keep them no longer."""
        with self._lock:
            chains = self._kept.pop(task_id, {})
            self._n_chains -= len(chains)
            return chains

    def keep(self, task_id: UUID, chains: Chains) -> None:
        """Keep the task's chains instead of those that may be there already."""
        with self._lock:
            self._n_chains -= len(self._kept.pop(task_id, {}))
            if chains:
                self._kept[task_id] = chains
                self._n_chains += len(chains)
            while self._n_chains > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._n_chains -= len(dropped)
