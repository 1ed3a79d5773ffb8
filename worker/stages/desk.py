"""What every stage is given: the database, the broker's door, its leases and its name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from worker.errors import StoreUnavailableError
from worker.keeper import LeaseKeeper
from worker.messages import DECIDE, VERIFY
from worker.publisher import Publisher
from worker.settings import Settings
from worker.store.leases import HeldTask, Moved, claim_tasks, forget_published
from worker.store.transactions import Store
from worker.telemetry.metrics import REDELIVERIES
from worker.telemetry.traces import Tracer

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 60.0  # what took minutes of a GPU is not thrown away because Postgres restarts
FIRST_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The surroundings of a stage."""

    store: Store
    publisher: Publisher
    keeper: LeaseKeeper
    settings: Settings
    holder: str
    """Who holds leases and stands in events: role, host and process id."""

    tracer: Tracer | None = None
    """Writes OpenTelemetry spans, where somebody collects them."""

    @contextmanager
    def traced(self, stage: str, ids: Sequence[UUID]) -> Iterator[None]:
        """Write the block as one run of ``stage`` into the trace of each task."""
        if self.tracer is None:
            yield
            return
        began_ns, failed = time.time_ns(), None
        try:
            yield
        except Exception as error:
            failed = error
            raise
        finally:
            self.tracer.ran(stage, ids, began_ns=began_ns, error=failed)

    def claim(
        self, ids: Sequence[UUID], *, queue: str, from_states: Sequence[str], to_state: str
    ) -> list[HeldTask]:
        """Take those of ``ids`` that wait in one of ``from_states`` and that nobody holds; none in a pause."""
        held = patiently(
            lambda: claim_tasks(
                self.store,
                ids,
                queue=queue,
                from_states=from_states,
                to_state=to_state,
                holder=self.holder,
                lease_s=self.settings.lease_s,
                max_deliveries=self.settings.max_deliveries,
            )
        )
        count_redeliveries(queue, held)
        return held

    def publish(self, queue: str, tasks: Sequence[tuple[UUID, int]]) -> None:
        """Hand (id, urgency) pairs to a queue; what the broker does not take counts as not published."""
        if not self.publisher.publish(queue, tasks):
            patiently(lambda: forget_published(self.store, queue, [task_id for task_id, _ in tasks]))

    def publish_decide(self, moved: Sequence[Moved]) -> None:
        """Hand on the tasks that wait for their decision."""
        ready = [(m.id, m.urgency) for m in moved if m.to_state == "deciding"]
        if ready:
            self.publish(DECIDE, ready)

    def publish_verify(self, waiting: Mapping[str, Sequence[Moved]]) -> None:
        """Hand the tasks that wait for verdicts to the queue of each of their verifiers."""
        for verifier, moved in sorted(waiting.items()):
            self.publish(VERIFY[verifier], [(m.id, m.urgency) for m in moved])


def count_redeliveries(queue: str, held: Sequence[HeldTask]) -> None:
    """Count those of the tasks just taken whose stage was begun before and did not end."""
    REDELIVERIES.labels(queue).inc(sum(task.deliveries > 1 for task in held))


def patiently(save: Callable[[], T]) -> T:
    """Return what ``save`` returns, trying again while the database is away, for ``PATIENCE_S`` at most.

    Raises:
        StoreUnavailableError: It stayed away; the leases run out and the stage is done again.
    """
    pause_s, deadline = FIRST_PAUSE_S, time.monotonic() + PATIENCE_S
    while True:
        try:
            return save()
        except StoreUnavailableError as error:
            if time.monotonic() + pause_s > deadline:
                raise
            logger.warning("database away, will try again", extra={"pause_s": pause_s, "error": str(error)})
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)
