"""Turns between tenants: nobody waits for a million tasks of somebody else, or for the urgent ones of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.line import PATIENCE, Waiting
from worker.turns import (
    FIRST_WINDOW,
    GUARANTEED,
    SMALLEST_WINDOW,
    Limits,
    Standing,
    next_window,
    take_turns,
    take_turns_from,
)

TENANTS = ("a", "b", "c")
R = "generate"
GIVEN = "generate.given"


def task(
    number: int,
    tenant: str = "a",
    *,
    priority: int = 5,
    model: str = "m",
    risen: int | None = None,
    route: str = R,
) -> Waiting:
    return Waiting(
        id=UUID(int=number),
        route=route,
        tenant=tenant,
        model=model,
        priority=priority,
        risen=priority if risen is None else risen,
    )


def many(n: int, tenant: str, *, start: int = 0, **others: Any) -> list[Waiting]:
    return [task(start + i, tenant, **others) for i in range(n)]


def chosen(
    waiting: Sequence[Waiting], standing: Standing, limits: Limits | None = None
) -> list[tuple[UUID, int]]:
    return take_turns(waiting, {R: standing}, limits or Limits()).chosen[R]


def numbers(waiting: Sequence[Waiting], standing: Standing, limits: Limits | None = None) -> list[int]:
    return [id_.int for id_, _ in chosen(waiting, standing, limits)]


class Sweeps:
    """Sweep after sweep: what was chosen is worked off at once, and what was told is remembered."""

    def __init__(self, *waiting: Sequence[Waiting], out: dict[tuple[str, int], int] | None = None) -> None:
        self.waiting = [one for some in waiting for one in some]
        self.turns: dict[tuple[str, str], int] = {}
        self.out = out or {}

    def sweep(self, tokens: dict[tuple[str, str], float], *, room: int = 100) -> list[Waiting]:
        standings = {route: Standing(room=room, out=self.out) for route in (R, GIVEN)}
        turns = take_turns(self.waiting, standings, Limits(tokens=tokens, turns=self.turns))
        self.turns |= turns.had
        ids = {id_ for some in turns.chosen.values() for id_, _ in some}
        found = [one for one in self.waiting if one.id in ids]
        self.waiting = [one for one in self.waiting if one.id not in ids]
        return found


tasks = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.integers(0, 9), st.sampled_from(("", "m", "n", "m,n"))),
    max_size=60,
).map(lambda rows: [task(i, t, priority=p, model=m) for i, (t, p, m) in enumerate(rows)])
rooms = st.integers(0, 80)
outs = st.dictionaries(st.tuples(st.sampled_from(TENANTS), st.integers(0, 9)), st.integers(0, 50))
token_counts = st.dictionaries(
    st.sampled_from([("tenant", "a"), ("model", "m"), ("model", "n")]), st.floats(0, 9)
)


@given(tasks, rooms, outs)
def test_each_task_is_chosen_at_most_once_within_the_room_or_the_guarantee(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    found = numbers(waiting, Standing(room=room, out=out, guaranteed=4))
    assert len(found) == len(set(found))
    assert set(found) <= {one.id.int for one in waiting}
    assert len(found) <= max(room, 4 * len(TENANTS))


@given(tasks, rooms, outs)
def test_nothing_that_fits_is_left_over(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    assert len(chosen(waiting, Standing(room=room, out=out, guaranteed=0))) == min(room, len(waiting))


@given(tasks, rooms)
def test_shares_differ_by_one_at_most_unless_a_tenant_has_no_more(waiting: list[Waiting], room: int) -> None:
    found = set(numbers(waiting, Standing(room=room, guaranteed=0)))
    taken = Counter(one.tenant for one in waiting if one.id.int in found)
    left = {one.tenant for one in waiting if one.id.int not in found}
    for hungry in left:
        assert all(taken[other] <= taken[hungry] + 1 for other in TENANTS)


@given(tasks, rooms, outs)
def test_within_a_tenant_the_urgent_go_first_and_among_equals_the_older(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    found = numbers(waiting, Standing(room=room, out=out))
    for tenant in TENANTS:
        line = sorted(
            (one for one in waiting if one.tenant == tenant), key=lambda one: (-one.priority, one.id)
        )
        mine = {one.id.int for one in line}
        taken = [number for number in found if number in mine]
        assert taken == [one.id.int for one in line[: len(taken)]]


@given(tasks, rooms, outs, token_counts)
def test_no_limit_is_exceeded_what_was_spent_is_told_and_nothing_that_may_go_is_left(
    waiting: list[Waiting],
    room: int,
    out: dict[tuple[str, int], int],
    tokens: dict[tuple[str, str], float],
) -> None:
    turns = take_turns(waiting, {R: Standing(room=room, out=out)}, Limits(tokens=tokens))
    by_id = {one.id: one for one in waiting}
    used: Counter[tuple[str, str]] = Counter()
    for id_, _ in turns.chosen[R]:
        used.update(buckets(by_id.pop(id_)))
    for bucket, n in tokens.items():
        assert used[bucket] <= n
        assert turns.spent.get(bucket, 0) == used[bucket]
    if len(turns.chosen[R]) < room:
        for one in by_id.values():
            assert any(tokens.get(bucket, 99) - used[bucket] < 1 for bucket in buckets(one))


def buckets(one: Waiting) -> list[tuple[str, str]]:
    return [("tenant", one.tenant), *(("model", name) for name in one.model.split(",") if name)]


@given(
    st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(3, 5), st.sampled_from("mn")), max_size=400),
    st.integers(0, 300),
    outs,
    st.dictionaries(st.sampled_from([("tenant", "a"), ("model", "m")]), st.floats(0, 90)),
)
def test_reading_a_part_of_each_group_chooses_the_same(
    rows: list[tuple[str, int, str]],
    room: int,
    out: dict[tuple[str, int], int],
    tokens: dict[tuple[str, str], float],
) -> None:
    waiting = [
        # The first fifty have waited for so long that they rose by three.
        task(i, tenant, model=model, priority=priority, risen=priority + 3 * (i < 50))
        for i, (tenant, priority, model) in enumerate(rows)
    ]
    n_read = []

    def read(n: int) -> list[Waiting]:
        n_read.append(n)
        seen: Counter[tuple[str, str, str, int]] = Counter()
        heads = []
        for one in waiting:
            seen[one.group] += 1
            if seen[one.group] <= n:
                heads.append(one)
        return heads

    standings, limits = {R: Standing(room=room, out=out)}, Limits(tokens=tokens)
    assert take_turns_from(read, standings, limits) == take_turns(waiting, standings, limits)
    assert max(n_read) <= max(room, GUARANTEED)


def test_many_tenants_are_not_read_for_a_room_each() -> None:
    tenants = [many(500, str(n), start=1000 * n) for n in range(50)]
    n_read = []

    def read(n: int) -> list[Waiting]:
        n_read.append(n)
        return [one for line in tenants for one in line[:n]]

    turns = take_turns_from(read, {R: Standing(room=1500)}, Limits())
    assert len(turns.chosen[R]) == 50 * GUARANTEED
    assert n_read == [GUARANTEED, 4 * GUARANTEED]


def test_a_small_batch_is_not_delayed_by_a_large_one_of_somebody_else() -> None:
    large = many(1000, "large", priority=9)
    small = many(3, "small", start=5000, priority=0)
    full = Standing(room=0, out={("large", 9): 2000})
    assert chosen([*large, *small], full) == [
        (one.id, 9) for one in small
    ]  # into the first level, before all of the other's


def test_an_urgent_task_overtakes_its_own_tenants_flood_in_the_broker() -> None:
    full = Standing(room=100, out={("a", 5): 2000})
    assert chosen([task(1, priority=9)], full) == [(UUID(int=1), 9)]


@pytest.mark.parametrize("risen", [10, 12, 10**6])
def test_a_flood_however_old_leaves_three_of_four_turns_to_what_is_more_urgent(risen: int) -> None:
    flood = many(1000, "a", priority=5, risen=risen)
    urgent = many(30, "a", start=5000, priority=9)
    found = numbers([*flood, *urgent], Standing(room=40))
    assert [number >= 5000 for number in found] == [i % PATIENCE != PATIENCE - 1 for i in range(40)]


def test_no_stream_of_urgent_tasks_holds_up_an_old_one_for_ever() -> None:
    sweeps = Sweeps([task(1, priority=0, risen=10)], many(50, "a", start=100, priority=9))
    order = [sweeps.sweep({("tenant", "a"): 1.0})[0].priority for _ in range(PATIENCE)]
    assert order == [9, 9, 9, 0]  # also where only one can go at a time


def test_what_has_risen_the_most_is_the_first_of_the_patient() -> None:
    waiting = [
        task(1, priority=3, risen=17),
        task(2, priority=0, risen=18),
        *many(9, "a", start=10, priority=9),
    ]
    assert numbers(waiting, Standing(room=8))[:8] == [10, 11, 12, 2, 13, 14, 15, 1]


def test_what_has_risen_is_not_stuck_in_the_broker_behind_its_own_tenants_flood() -> None:
    standing = Standing(room=4, out={("a", 5): 2000})
    waiting = [task(1, priority=0, risen=9), *many(9, "a", start=10, priority=5)]
    assert dict(chosen(waiting, standing))[UUID(int=1)] == 9


def test_a_flood_is_spread_over_the_levels_so_that_two_floods_share() -> None:
    urgencies = Counter(u for _, u in chosen(many(2000, "a"), Standing(room=2000, step=8)))
    assert sorted(urgencies) == list(range(1, 10))
    assert urgencies[9] == 8
    assert urgencies[1] == 2000 - 1024


def test_a_tenant_over_its_allowance_waits_and_the_others_do_not() -> None:
    standing = Standing(room=100, allowance={"a": 2})
    found = numbers([*many(9, "a"), *many(9, "b", start=50)], standing)
    assert Counter("a" if number < 50 else "b" for number in found) == {"a": 2, "b": 9}


def test_a_limited_model_does_not_hold_up_its_tenants_other_tasks() -> None:
    waiting = [*many(20, "a", model="slow", priority=9), *many(5, "a", start=100, model="quick", priority=0)]
    found = numbers(waiting, Standing(room=100), Limits(tokens={("model", "slow"): 1.5}))
    assert found == [0, 100, 101, 102, 103, 104]


@pytest.mark.parametrize("priority", [0, 5, 9])
@pytest.mark.parametrize("tokens", [1.0, 2.0, 3.0, 7.0])
def test_a_slow_models_tokens_go_round_whoever_came_first_or_shouts(priority: int, tokens: float) -> None:
    sweeps = Sweeps(
        many(500, "first"), many(500, "shouts", start=1000, priority=9), many(99, "c", start=2000)
    )
    sweeps.waiting += many(500, "d", start=3000, priority=priority)
    got = Counter(one.tenant for _ in range(24) for one in sweeps.sweep({("model", "m"): tokens}))
    assert sum(got.values()) == 24 * tokens
    assert max(got.values()) - min(got.values()) <= 1


def test_forty_tenants_at_ten_tokens_a_sweep_are_each_served_every_fourth_time() -> None:
    sweeps = Sweeps(*(many(50, f"tenant {n}", start=1000 * n) for n in range(40)))
    for _ in range(5):
        got = Counter(one.tenant for _ in range(4) for one in sweeps.sweep({("model", "m"): 10.0}))
        assert set(got.values()) == {1}
        assert len(got) == 40


def test_a_tenant_with_much_else_in_the_broker_has_its_turns_at_a_slow_model_too() -> None:
    sweeps = Sweeps(many(50, "busy"), many(50, "idle", start=100), out={("busy", 5): 2000})
    got = Counter(one.tenant for _ in range(20) for one in sweeps.sweep({("model", "m"): 1.0}))
    assert got == {"busy": 10, "idle": 10}


def test_a_share_that_its_tenant_has_no_use_for_goes_to_the_next() -> None:
    waiting = [*many(9, "a", model="m,n"), *many(9, "b", start=50), *many(9, "c", start=90)]
    tokens = {("model", "m"): 6.0, ("model", "n"): 1.0}
    found = Counter(one.tenant for one in Sweeps(waiting).sweep(tokens))
    assert found in ({"a": 1, "b": 3, "c": 2}, {"a": 1, "b": 2, "c": 3})


def test_a_task_of_two_slow_models_is_not_passed_over_for_ever() -> None:
    sweeps = Sweeps(
        many(99, "a", start=0, model="m"),
        many(99, "b", start=100, model="n"),
        many(99, "c", start=200, model="m,n"),
        many(99, "d", start=300, model="n"),
    )
    got = Counter(
        one.tenant for _ in range(30) for one in sweeps.sweep({("model", "m"): 1, ("model", "n"): 1})
    )
    assert got["c"] >= 5
    assert sum(got[tenant] for tenant in "ac") == 30  # no token is left lying


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.sampled_from(("m", "n", "m,n", ""))),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.floats(0.4, 2), min_size=1, max_size=4),
)
def test_every_tenant_that_a_limit_lets_wait_is_served_in_the_end(
    rows: list[tuple[str, int, str]], refills: list[float]
) -> None:
    waiting = [task(i, tenant, priority=p, model=m) for i, (tenant, p, m) in enumerate(rows)]
    floods = [many(130, "x", start=1000, priority=9), many(130, "y", start=2000, priority=9, model="n")]
    sweeps = Sweeps(waiting, *floods)
    tokens = {("model", "m"): 0.0, ("model", "n"): 0.0}
    for i in range(60):
        tokens = {bucket: min(n + refills[i % len(refills)], 4.0) for bucket, n in tokens.items()}
        for bucket in [bucket for one in sweeps.sweep(tokens) for bucket in buckets(one)[1:]]:
            tokens[bucket] -= 1
    served = {tenant for tenant, model in sweeps.turns if not model}
    assert {tenant for tenant, _, _ in rows} <= served


@pytest.mark.parametrize("urgent", [R, GIVEN])
def test_a_tenants_own_tokens_go_to_its_most_urgent_tasks_whichever_queue_they_wait_in(urgent: str) -> None:
    other = GIVEN if urgent == R else R
    sweeps = Sweeps(many(60, "a", route=other), many(20, "a", start=100, priority=9, route=urgent))
    got = Counter(one.route for _ in range(24) for one in sweeps.sweep({("tenant", "a"): 1.0}))
    assert got[urgent] >= 18
    assert sum(got.values()) == 24


def test_of_equals_in_two_queues_the_older_go_first() -> None:
    sweeps = Sweeps(many(10, "a", route=GIVEN), many(10, "a", start=100))
    order = [one.route for _ in range(20) for one in sweeps.sweep({("tenant", "a"): 1.0})]
    assert order == [GIVEN] * 10 + [R] * 10


@given(st.integers(1, 5000), st.integers(0, 6000), st.integers(1, 3000))
def test_the_window_stays_within_its_bounds(window: int, n_out: int, cap: int) -> None:
    assert 1 <= next_window(window, n_out=n_out, cap=cap) <= cap


def test_the_window_follows_the_workers() -> None:
    assert next_window(None, n_out=0, cap=2000) == FIRST_WINDOW
    assert next_window(256, n_out=10, cap=2000) == 512
    assert next_window(256, n_out=100, cap=2000) == 256
    assert next_window(256, n_out=250, cap=2000) == 224
    assert next_window(SMALLEST_WINDOW, n_out=64, cap=2000) == SMALLEST_WINDOW


def test_every_tenant_has_its_guarantee_however_full_the_window_is() -> None:
    waiting = [one for n, tenant in enumerate(TENANTS) for one in many(100, tenant, start=1000 * n)]
    assert len(chosen(waiting, Standing(room=0, out={("a", 5): 5000}))) == 2 * GUARANTEED
