"""The line of one tenant: three of four turns go to its most urgent task, the fourth to whichever waited too long.

A task rises by one priority for every while that it waits. If risen tasks simply went first, a flood that is older than
such a while would stand before everything urgent that comes after it; if only the most urgent went, a stream of them
would hold up the others for ever. So both orders have their turns.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

PATIENCE = 4
"""Every so manieth turn of a tenant goes to the task that has risen the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One task of the backlog."""

    id: UUID
    route: str
    tenant: str
    model: str
    """Models it asks, separated by commas."""

    priority: int
    """0 to 9 as the producer wrote it."""

    risen: int
    """The same, and one more for every while that it has waited; without bound, so that every task is first one day."""

    @property
    def group(self) -> tuple[str, str, str, int]:
        """What it shares with the tasks that it stands in one file with, by age."""
        return self.route, self.tenant, self.model, self.priority


class Line:
    """Tasks of one tenant, taken one by one."""

    def __init__(self, groups: Iterable[Sequence[Waiting]], *, had: int) -> None:
        """Line up.

        Args:
            groups: Tasks of one group each, none empty, the oldest first; they are not changed.
            had: How many turns the tenant has had before: which kind is next goes on from sweep to sweep.
        """
        self.had = had
        self._files = list(groups)
        self._next = [0] * len(self._files)
        self._urgent: list[tuple[int, int, UUID, int]] = []
        self._patient: list[tuple[int, int, UUID, int]] = []
        self.rewind()

    @property
    def is_for_the_urgent(self) -> bool:
        """Whether the next turn goes to the most urgent task, and not to the one that has risen the most."""
        return self.had % PATIENCE != PATIENCE - 1

    def rewind(self) -> None:
        """Consider again what might not go."""
        self._urgent.clear()
        self._patient.clear()
        for file in range(len(self._files)):
            self._line_up(file)

    def take(self, may_go: Callable[[Waiting], bool]) -> Waiting | None:
        """Take the next task that may go.

        Args:
            may_go: Answers the same for all tasks of a group; those that may not are passed over until ``rewind``.
        """
        heap = self._urgent if self.is_for_the_urgent else self._patient
        while heap:
            _, _, task_id, file = heapq.heappop(heap)
            head = self._head(file)
            if head is None or head.id != task_id:
                continue  # taken by the other order
            if may_go(head):
                self._next[file] += 1
                self.had += 1
                self._line_up(file)
                return head
        return None

    def left(self) -> Iterator[tuple[Waiting, int]]:
        """Yield the head of each group with how many are left in it."""
        for file, tasks in enumerate(self._files):
            if (head := self._head(file)) is not None:
                yield head, len(tasks) - self._next[file]

    def rest(self) -> list[Sequence[Waiting]]:
        """Return what is left of each group."""
        return [tasks[at:] for tasks, at in zip(self._files, self._next, strict=True) if at < len(tasks)]

    def _head(self, file: int) -> Waiting | None:
        tasks, at = self._files[file], self._next[file]
        return tasks[at] if at < len(tasks) else None

    def _line_up(self, file: int) -> None:
        if (head := self._head(file)) is not None:
            heapq.heappush(self._urgent, (-head.priority, 0, head.id, file))
            heapq.heappush(self._patient, (-head.risen, -head.priority, head.id, file))
