"""Who is next: tenants take turns, the most urgent task of each first, within rate limits.

Plain values in and out, so that fairness can be tested without a database: ``worker.store.outbox`` reads what
waits, asks ``take_turns``, and marks what was chosen as published.

The turn of a task is how many tasks of its tenant stand before it, in the broker or chosen by now. Lower turns go
first, so a tenant with a million tasks and one with ten have the same share until the ten are gone (max-min fairness).
Within the broker the same order holds by levels: a task's level counts only those of its tenant's tasks that are as
urgent as it or more so, and it doubles from level to level, since Redis serves ten of them.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

GUARANTEED = 32
"""Tasks a tenant may have in the broker even when others have filled the window: so nobody waits for them to drain."""

FIRST_WINDOW = 256
SMALLEST_WINDOW = 64

TOP_URGENCY = 9

Bucket = tuple[str, str]
"""A rate limit: ``("tenant", name)`` or ``("model", name)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One task of the backlog."""

    id: UUID
    tenant: str
    model: str
    """Models it asks, separated by commas."""

    priority: int
    """0 to 9, risen with age."""

    written: int = 0
    """0 to 9 as the producer wrote it; tasks of one tenant, models and this are a group, and stand in it by age."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """What is in the broker already and what may still go."""

    room: int
    """Tasks that still fit the window."""

    guaranteed: int = GUARANTEED
    """Tasks that each tenant may have in the broker whatever the room."""

    out: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Tasks in the broker by (tenant, priority)."""

    allowance: Mapping[str, int] = field(default_factory=dict)
    """How many more a tenant may have under way; a tenant that is not named has no bound."""

    tokens: dict[Bucket, float] = field(default_factory=dict)
    """What the rate limits allow now; a bucket that is not named has no limit."""

    step: int = 8
    """Tasks of the first level: about one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What goes to the broker now."""

    chosen: list[tuple[UUID, int]]
    """(id, urgency), in the order of their turns; 9 is the most urgent."""

    spent: dict[Bucket, int]


def take_turns_from(read: Callable[[int], Sequence[Waiting]], standing: Standing) -> Turns:
    """Choose what to publish, reading no more of each group than is needed.

    With many tenants each gets a small share of the room; to read a full room of each group would be in vain.

    Args:
        read: Returns the oldest so many tasks of each group.
        standing: As for ``take_turns``.
    """
    most = max(standing.room, standing.guaranteed)
    n = min(GUARANTEED, most)
    while True:
        waiting = read(n)
        turns = take_turns(waiting, standing)
        if n >= most or not _used_up(waiting, turns, n):
            return turns
        n = min(4 * n, most)


def _used_up(waiting: Sequence[Waiting], turns: Turns, n: int) -> bool:
    """Return whether all ``n`` tasks of a group were chosen, so that its next one might have been, too.

    Where one was passed over for a limit, every later one of its group would be.
    """
    chosen = {task_id for task_id, _ in turns.chosen}
    groups = Counter((task.tenant, task.model, task.written) for task in waiting if task.id in chosen)
    return any(n_chosen >= n for n_chosen in groups.values())


def take_turns(waiting: Iterable[Waiting], standing: Standing) -> Turns:
    """Choose what to publish.

    Args:
        waiting: The oldest tasks of each (tenant, model, priority); order does not matter.
        standing: Room, shares and limits; not changed.
    """
    lines = _lines(waiting)
    out_of = _out_by_urgency(standing.out)
    tokens, spent, chosen = dict(standing.tokens), Counter[Bucket](), list[tuple[UUID, int]]()
    n_chosen: Counter[str] = Counter()
    room = standing.room
    # Ties go to the more urgent head, then to the older one.
    turns = [(out_of[tenant][0], -line[-1].priority, line[-1].id, tenant) for tenant, line in lines.items()]
    heapq.heapify(turns)
    while turns:
        turn, _, _, tenant = heapq.heappop(turns)
        if room <= 0 and turn >= standing.guaranteed:
            break  # every later turn is as late or later
        if n_chosen[tenant] >= standing.allowance.get(tenant, n_chosen[tenant] + 1):
            continue
        task = _next_within_limits(lines[tenant], tokens)
        if task is None:
            continue
        for bucket in _buckets(task):
            if bucket in tokens:
                tokens[bucket] -= 1
                spent[bucket] += 1
        before = n_chosen[tenant] + out_of[tenant][task.priority]
        chosen.append((task.id, _urgency(before, standing.step)))
        n_chosen[tenant] += 1
        room -= 1
        if lines[tenant]:
            head = lines[tenant][-1]
            heapq.heappush(turns, (turn + 1, -head.priority, head.id, tenant))
    return Turns(chosen=chosen, spent=dict(spent))


def next_window(window: int | None, *, n_out: int, cap: int) -> int:
    """Return how many tasks of a queue may wait in the broker.

    About as much as workers take between two sweeps: enough that they never idle, and so little that what is urgent
    waits behind a few seconds of work and not behind a million tasks. Doubles while less than a quarter is left of
    it, shrinks by an eighth while more than three quarters are.

    Args:
        window: The last one; none at first.
        n_out: How many tasks of it are still in the broker.
        cap: The operator's bound.
    """
    if window is None:
        return min(FIRST_WINDOW, cap)
    if n_out < window // 4:
        return min(2 * window, cap)
    if n_out > window * 3 // 4:
        return min(max(window - window // 8, SMALLEST_WINDOW), cap)
    return min(window, cap)


def _out_by_urgency(out: Mapping[tuple[str, int], int]) -> Mapping[str, list[int]]:
    """Return how many tasks of each tenant are in the broker that are as urgent as each priority or more so."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * (TOP_URGENCY + 1))
    for (tenant, priority), n in out.items():
        for lower in range(priority + 1):
            found[tenant][lower] += n
    return found


def _lines(waiting: Iterable[Waiting]) -> dict[str, list[Waiting]]:
    """Return each tenant's tasks, the next one last."""
    lines: dict[str, list[Waiting]] = defaultdict(list)
    for task in waiting:
        lines[task.tenant].append(task)
    for line in lines.values():
        line.sort(key=lambda task: (-task.priority, task.id), reverse=True)
    return lines


def _next_within_limits(line: list[Waiting], tokens: Mapping[Bucket, float]) -> Waiting | None:
    """Take the next task that every limit allows; those over a limit stay for a later sweep and are passed over."""
    while line:
        task = line.pop()
        if all(tokens.get(bucket, 1.0) >= 1.0 for bucket in _buckets(task)):
            return task
    return None


def _buckets(task: Waiting) -> list[Bucket]:
    return [("tenant", task.tenant), *(("model", name) for name in task.model.split(",") if name)]


def _urgency(before: int, step: int) -> int:
    return TOP_URGENCY - min((before // step).bit_length(), TOP_URGENCY)
