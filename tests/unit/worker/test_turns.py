"""Turns between tenants: nobody waits for a million tasks of somebody else."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from worker.turns import (
    FIRST_WINDOW,
    GUARANTEED,
    SMALLEST_WINDOW,
    Standing,
    Waiting,
    next_window,
    take_turns,
    take_turns_from,
)

TENANTS = ("a", "b", "c")


def task(number: int, tenant: str = "a", *, priority: int = 5, model: str = "m") -> Waiting:
    return Waiting(id=UUID(int=number), tenant=tenant, model=model, priority=priority)


def many(n: int, tenant: str, *, start: int = 0, priority: int = 5, model: str = "m") -> list[Waiting]:
    return [task(start + i, tenant, priority=priority, model=model) for i in range(n)]


tasks = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.integers(0, 9), st.sampled_from(("", "m", "n", "m,n"))),
    max_size=60,
).map(lambda rows: [task(i, t, priority=p, model=m) for i, (t, p, m) in enumerate(rows)])
rooms = st.integers(0, 80)
outs = st.dictionaries(st.tuples(st.sampled_from(TENANTS), st.integers(0, 9)), st.integers(0, 50))


@given(tasks, rooms, outs)
def test_each_task_is_chosen_at_most_once_within_the_room_or_the_guarantee(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    chosen = [id_ for id_, _ in take_turns(waiting, Standing(room=room, out=out, guaranteed=4)).chosen]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= {one.id for one in waiting}
    assert len(chosen) <= max(room, 4 * len(TENANTS))


@given(tasks, rooms, outs)
def test_nothing_that_fits_is_left_over(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    chosen = take_turns(waiting, Standing(room=room, out=out, guaranteed=0)).chosen
    assert len(chosen) == min(room, len(waiting))


@given(tasks, rooms)
def test_shares_differ_by_one_at_most_unless_a_tenant_has_no_more(waiting: list[Waiting], room: int) -> None:
    chosen = {id_ for id_, _ in take_turns(waiting, Standing(room=room, guaranteed=0)).chosen}
    taken = Counter(one.tenant for one in waiting if one.id in chosen)
    left = {one.tenant for one in waiting if one.id not in chosen}
    for hungry in left:
        assert all(taken[other] <= taken[hungry] + 1 for other in TENANTS)


@given(tasks, rooms, outs)
def test_within_a_tenant_the_urgent_go_first_and_among_equals_the_older(
    waiting: list[Waiting], room: int, out: dict[tuple[str, int], int]
) -> None:
    turns = take_turns(waiting, Standing(room=room, out=out))
    for tenant in TENANTS:
        line = sorted(
            (one for one in waiting if one.tenant == tenant), key=lambda one: (-one.priority, one.id)
        )
        chosen = [id_ for id_, _ in turns.chosen if id_ in {one.id for one in line}]
        assert chosen == [one.id for one in line[: len(chosen)]]


@given(
    tasks,
    rooms,
    st.dictionaries(st.sampled_from([("tenant", "a"), ("model", "m"), ("model", "n")]), st.floats(0, 9)),
)
def test_no_limit_is_exceeded_and_what_was_spent_is_told(
    waiting: list[Waiting], room: int, tokens: dict[tuple[str, str], float]
) -> None:
    turns = take_turns(waiting, Standing(room=room, tokens=dict(tokens)))
    by_id = {one.id: one for one in waiting}
    used: Counter[tuple[str, str]] = Counter()
    for id_, _ in turns.chosen:
        used["tenant", by_id[id_].tenant] += 1
        for name in filter(None, by_id[id_].model.split(",")):
            used["model", name] += 1
    for bucket, n in tokens.items():
        assert used[bucket] <= n
        assert turns.spent.get(bucket, 0) == used[bucket]


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
        # The first fifty have waited for so long that they rose by one.
        Waiting(id=UUID(int=i), tenant=tenant, model=model, written=written, priority=written + (i < 50))
        for i, (tenant, written, model) in enumerate(rows)
    ]
    n_read = []

    def read(n: int) -> list[Waiting]:
        n_read.append(n)
        seen: Counter[tuple[str, str, int]] = Counter()
        heads = []
        for one in waiting:
            group = one.tenant, one.model, one.written
            seen[group] += 1
            if seen[group] <= n:
                heads.append(one)
        return heads

    standing = Standing(room=room, out=out, tokens=tokens)
    assert take_turns_from(read, standing) == take_turns(waiting, standing)
    assert max(n_read) <= max(room, GUARANTEED)


def test_many_tenants_are_not_read_for_a_room_each() -> None:
    tenants = [many(500, str(n), start=1000 * n) for n in range(50)]
    n_read = []

    def read(n: int) -> list[Waiting]:
        n_read.append(n)
        return [one for line in tenants for one in line[:n]]

    assert len(take_turns_from(read, Standing(room=1500)).chosen) == 50 * GUARANTEED
    assert n_read == [GUARANTEED, 4 * GUARANTEED]


def test_a_small_batch_is_not_delayed_by_a_large_one_of_somebody_else() -> None:
    large = many(1000, "large", priority=9)
    small = many(3, "small", start=5000, priority=0)
    full = Standing(room=0, out={("large", 9): 2000})
    chosen = take_turns([*large, *small], full).chosen
    assert chosen == [(one.id, 9) for one in small]  # into the first level, before all of the other's


def test_an_urgent_task_overtakes_its_own_tenants_flood_in_the_broker() -> None:
    turns = take_turns([task(1, priority=9)], Standing(room=100, out={("a", 5): 2000}))
    assert turns.chosen == [(UUID(int=1), 9)]


def test_a_flood_is_spread_over_the_levels_so_that_two_floods_share() -> None:
    urgencies = Counter(u for _, u in take_turns(many(2000, "a"), Standing(room=2000, step=8)).chosen)
    assert sorted(urgencies) == list(range(1, 10))
    assert urgencies[9] == 8
    assert urgencies[1] == 2000 - 1024


def test_a_tenant_over_its_allowance_waits_and_the_others_do_not() -> None:
    standing = Standing(room=100, allowance={"a": 2})
    chosen = {id_ for id_, _ in take_turns([*many(9, "a"), *many(9, "b", start=50)], standing).chosen}
    assert Counter("a" if id_.int < 50 else "b" for id_ in chosen) == {"a": 2, "b": 9}


def test_a_limited_model_does_not_hold_up_its_tenants_other_tasks() -> None:
    waiting = [*many(20, "a", model="slow", priority=9), *many(5, "a", start=100, model="quick", priority=0)]
    turns = take_turns(waiting, Standing(room=100, tokens={("model", "slow"): 1.5}))
    assert [id_.int for id_, _ in turns.chosen] == [0, 100, 101, 102, 103, 104]


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
    chosen = take_turns(waiting, Standing(room=0, out={("a", 5): 5000})).chosen
    assert len(chosen) == 2 * GUARANTEED
