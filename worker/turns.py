"""Who is next: tenants take turns, the most urgent task of each first, within rate limits.

Plain values in and out, so that fairness can be tested without a database: ``worker.store.outbox`` reads what
waits, asks ``take_turns``, and marks what was chosen as published.

The turn of a task is how many tasks of its tenant stand before it, in the broker or chosen by now. Lower turns go
first, so a tenant with a million tasks and one with ten have the same share until the ten are gone (max-min fairness).
Within the broker the same order holds by levels: a task's level counts only those of its tenant's tasks that are as
urgent as it or more so, and it doubles from level to level, since Redis serves ten of them.

How urgent a task is matters among those of its tenant only (``worker.line``); what a rate limit allows is parted before
the turns are taken (``worker.tokens``).
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from worker.line import Line, Waiting
from worker.tokens import Bucket, Purse, wanted_of

GUARANTEED = 32
"""Tasks a tenant may have in the broker even when others have filled the window: so nobody waits for them to drain."""

FIRST_WINDOW = 256
SMALLEST_WINDOW = 64

TOP_URGENCY = 9

ANY_MODEL = ""

ROUNDS = 8
"""Shares that nobody had a use for are parted again, so often at most; one round is enough but for odd mixtures."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """What of one route is in the broker already and what may still go."""

    room: int
    """Tasks that still fit the window."""

    guaranteed: int = GUARANTEED
    """Tasks that each tenant may have in the broker whatever the room."""

    out: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Tasks in the broker by (tenant, priority)."""

    allowance: Mapping[str, int] = field(default_factory=dict)
    """How many more a tenant may have under way; a tenant that is not named has no bound."""

    step: int = 8
    """Tasks of the first level: about one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may start, and who had their turns in earlier sweeps."""

    tokens: Mapping[Bucket, float] = field(default_factory=dict)
    """What the rate limits allow now; a bucket that is not named has no limit."""

    turns: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By (tenant, ``ANY_MODEL``) how many turns a tenant had; by (tenant, model) the number of its last one there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What goes to the broker now."""

    chosen: dict[str, list[tuple[UUID, int]]]
    """(id, urgency) by route, in the order of their turns; 9 is the most urgent."""

    spent: dict[Bucket, int]
    had: dict[tuple[str, str], int]
    """What is new in ``Limits.turns``."""


def take_turns_from(
    read: Callable[[int], Sequence[Waiting]], standings: Mapping[str, Standing], limits: Limits
) -> Turns:
    """Choose what to publish, reading no more of each group than is needed.

    With many tenants each gets a small share of the room; to read a full room of each group would be in vain.

    Args:
        read: Returns the oldest so many tasks of each group.
        standings: As for ``take_turns``.
        limits: As for ``take_turns``.
    """
    most = max((max(one.room, one.guaranteed) for one in standings.values()), default=0)
    n = min(GUARANTEED, most)
    while True:
        waiting = read(n)
        turns = take_turns(waiting, standings, limits)
        if n >= most or not _used_up(waiting, turns, n):
            return turns
        n = min(4 * n, most)


def _used_up(waiting: Sequence[Waiting], turns: Turns, n: int) -> bool:
    """Return whether all ``n`` tasks of a group were chosen, so that its next one might have been, too.

    Where one was passed over for a limit, every later one of its group would be.
    """
    chosen = {task_id for of_route in turns.chosen.values() for task_id, _ in of_route}
    groups = Counter(task.group for task in waiting if task.id in chosen)
    return any(n_chosen >= n for n_chosen in groups.values())


def take_turns(waiting: Iterable[Waiting], standings: Mapping[str, Standing], limits: Limits) -> Turns:
    """Choose what to publish.

    Args:
        waiting: The oldest tasks of each group; order does not matter.
        standings: Room and shares, by route; what waits in another route stays where it is.
        limits: What may start, for all routes together.
    """
    by_tenant = _by_tenant(waiting, standings)
    routes = {route: _Route(route, standing, by_tenant, limits) for route, standing in standings.items()}
    purse = Purse(limits.tokens, limits.turns)
    for _ in range(ROUNDS):
        purse.share(
            wanted_of((left for route in routes.values() for left in route.lefts()), purse),
            {
                name: _in_line(name, list(routes.values()), purse, limits)
                for kind, name in purse.tokens
                if kind == "tenant"
            },
        )
        for route in routes.values():
            route.run(purse)
        if not purse.settle():
            break
    purse.open()
    if limits.tokens:
        for route in routes.values():
            route.run(purse)
    n_had = Counter[tuple[str, str]]()
    for route in routes.values():
        n_had.update({(tenant, ANY_MODEL): n for tenant, n in route.n_chosen.items()})
    counts = {key: n + limits.turns.get(key, 0) for key, n in n_had.items()}
    return Turns(
        chosen={name: route.chosen for name, route in routes.items()},
        spent=dict(purse.spent),
        had=counts | purse.turns,
    )


_Groups = list[list[Waiting]]


def _by_tenant(waiting: Iterable[Waiting], routes: Iterable[str]) -> dict[str, _Groups]:
    """Return the groups of each tenant, each from its oldest task on."""
    wanted = set(routes)
    groups: dict[tuple[str, str, str, int], list[Waiting]] = defaultdict(list)
    for task in waiting:
        if task.route in wanted:
            groups[task.group].append(task)
    found: dict[str, _Groups] = defaultdict(list)
    for (_, tenant, _, _), tasks in sorted(groups.items()):
        found[tenant].append(sorted(tasks, key=lambda task: task.id))
    return found


def _in_line(tenant: str, routes: Sequence[_Route], purse: Purse, limits: Limits) -> Iterator[str]:
    """Yield the routes of the next tasks of a tenant as if they stood in one line, whichever queue they wait in."""
    had = limits.turns.get((tenant, ANY_MODEL), 0) + sum(route.n_chosen[tenant] for route in routes)
    able = [route for route in routes if purse.is_able(("tenant", tenant), route.name)]
    line = Line([tasks for route in able for tasks in route.rest(tenant)], had=had)
    while (task := line.take(purse.allows)) is not None:
        yield task.route


class _Route:
    """What of one route is chosen."""

    def __init__(
        self, name: str, standing: Standing, by_tenant: Mapping[str, _Groups], limits: Limits
    ) -> None:
        self.name = name
        self.chosen: list[tuple[UUID, int]] = []
        self.n_chosen: Counter[str] = Counter()
        self._standing = standing
        self._room = standing.room
        self._out_of = _out_by_urgency(standing.out)
        self._lines: dict[str, Line] = {}
        self._oldest: dict[str, UUID] = {}
        for tenant, groups in by_tenant.items():
            if mine := [tasks for tasks in groups if tasks[0].route == name]:
                self._lines[tenant] = Line(mine, had=limits.turns.get((tenant, ANY_MODEL), 0))
                self._oldest[tenant] = min(tasks[0].id for tasks in mine)

    def run(self, purse: Purse) -> None:
        """Let tenants take turns until the room or what may go is used up."""
        # Ties go to whoever has waited longer, and never to the more urgent: tenants would all write 9.
        turns = [(self._turn(tenant), self._oldest[tenant], tenant) for tenant in self._lines]
        heapq.heapify(turns)
        for line in self._lines.values():
            line.rewind()
        while turns:
            turn, oldest, tenant = heapq.heappop(turns)
            if self._room <= 0 and turn >= self._standing.guaranteed:
                break  # every later turn is as late or later
            if self._allowance(tenant) <= 0:
                continue
            line = self._lines[tenant]
            is_urgent = line.is_for_the_urgent
            task = line.take(purse.may_go)
            if task is None:
                continue
            purse.spend(task)
            level = task.priority if is_urgent else min(task.risen, TOP_URGENCY)
            before = self.n_chosen[tenant] + self._out_of[tenant][level]
            self.chosen.append((task.id, _urgency(before, self._standing.step)))
            self.n_chosen[tenant] += 1
            self._room -= 1
            heapq.heappush(turns, (turn + 1, oldest, tenant))

    def lefts(self) -> Iterator[tuple[Iterator[tuple[Waiting, int]], int]]:
        """Yield what is left of each line, and how many of it may go at most."""
        for tenant, line in self._lines.items():
            if (most := self.most(tenant)) > 0:
                yield line.left(), most

    def most(self, tenant: str) -> int:
        """Return how many tasks of a tenant may still go, if others leave it the room."""
        room = max(self._room, self._standing.guaranteed - self._turn(tenant), 0)
        return min(self._allowance(tenant), room)

    def rest(self, tenant: str) -> list[Sequence[Waiting]]:
        """Return the groups of a tenant that may still go."""
        line = self._lines.get(tenant)
        return line.rest() if line is not None and self.most(tenant) > 0 else []

    def _turn(self, tenant: str) -> int:
        return self._out_of[tenant][0] + self.n_chosen[tenant]

    def _allowance(self, tenant: str) -> int:
        return self._standing.allowance.get(tenant, self.n_chosen[tenant] + 10**9) - self.n_chosen[tenant]


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


def _urgency(before: int, step: int) -> int:
    return TOP_URGENCY - min((before // step).bit_length(), TOP_URGENCY)
