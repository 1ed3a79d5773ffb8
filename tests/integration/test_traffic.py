"""Who is published when: turns, limits, pauses, deadlines; what failed gets another chance where it failed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.integration.traffic import LINE, QUEUE, lines, nothing, owners
from worker.messages import DECIDE, VERIFY, encode
from worker.stages.generate import generate_given
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.clock import claim_run
from worker.store.dead import dead_tasks, mark_redriven, park_message, parked_messages, retry
from worker.store.outbox import UNDER_WAY_WINDOWS
from worker.store.traffic import all_limits, pause, queue_states, remove_limit, resume, set_limit
from worker.turns import FIRST_WINDOW, GUARANTEED

pytestmark = pytest.mark.services


def test_a_large_batch_does_not_delay_a_small_one_of_another_tenant(rig: Any) -> None:
    rig.set(publish_window=100)
    rig.submit(*lines(1000, priority=9), tenant="large")
    assert rig.sweep() == 100
    rig.submit(*lines(3, priority=0), tenant="small")
    assert rig.sweep() == 3  # the window is full, but the small tenant's share isn't
    urgencies = [urgency for _, urgency in rig.queues[QUEUE]]
    assert urgencies[-3:] == [9, 9, 9]
    assert urgencies.count(9) == 8 + 3


def test_two_tenants_share_the_window_from_then_on(rig: Any) -> None:
    rig.set(publish_window=100)
    for tenant in ("a", "b"):
        rig.submit(*lines(500), tenant=tenant)
    rig.sweep()
    assert owners(rig, rig.take(QUEUE)) == {"a": 50, "b": 50}


def published_priorities(rig: Any) -> Counter[int]:
    rows = rig.query("SELECT priority FROM tasks WHERE published_at IS NOT NULL")
    return Counter(row.priority for row in rows)


def test_old_tasks_rise_so_that_nothing_waits_for_ever(rig: Any) -> None:
    rig.set(publish_window=8, ageing_s=60.0)
    rig.submit(*lines(5, priority=0))
    rig.age(column="created_at", hours=1)
    rig.submit(*lines(50, priority=8), key="urgent")
    rig.sweep()
    assert published_priorities(rig) == {8: 6, 0: 2}


def test_a_flood_that_is_old_does_not_stand_before_what_is_urgent(rig: Any) -> None:
    rig.set(publish_window=16)
    rig.submit(*lines(300, priority=5))
    rig.age(column="created_at", hours=20 / 60)
    rig.submit(*lines(12, priority=9), key="urgent")
    rig.sweep()
    assert published_priorities(rig) == {9: 12, 5: 4}


def test_a_task_does_not_rise_before_it_may_begin(rig: Any) -> None:
    rig.set(publish_window=8)
    rig.submit(*lines(50, priority=0), not_before=datetime.now(UTC) + timedelta(hours=8))
    rig.age(column="created_at", hours=9)
    rig.age(column="not_before", hours=8.01)
    rig.submit(*lines(50, priority=4), key="by day")
    rig.sweep()
    assert published_priorities(rig) == {4: 8}
    assert rig.query("SELECT count(*) FROM tasks WHERE waits_since > created_at + interval '8 hours'") == [
        (50,)
    ]
    generate_given(rig.desk, rig.take(QUEUE))
    rig.age(column="waits_since", hours=1)
    rig.sweep()
    assert published_priorities(rig)[0] == 2  # by now it did wait


def test_the_urgent_go_first_within_a_tenant(rig: Any) -> None:
    rig.set(publish_window=5)
    rig.submit(*lines(50, priority=2))
    rig.submit(*lines(5, priority=8), key="urgent")
    rig.sweep()
    assert {
        row.priority for row in rig.query("SELECT priority FROM tasks WHERE published_at IS NOT NULL")
    } == {8}


def test_the_window_grows_while_workers_empty_it_and_not_while_there_is_little_to_do(rig: Any) -> None:
    rig.submit(*lines(2000))
    sizes = []
    for _ in range(3):
        rig.sweep()
        sizes.append(len(taken := rig.take(QUEUE)))
        generate_given(rig.desk, taken)
    assert sizes == [FIRST_WINDOW, 2 * FIRST_WINDOW, 4 * FIRST_WINDOW]
    rig.query("DELETE FROM task_events; DELETE FROM chains; DELETE FROM verifications; DELETE FROM tasks")
    rig.query("UPDATE queues SET window_tasks = 300 WHERE name = :name", name=QUEUE)
    rig.submit(*lines(10), key="small")
    rig.sweep()
    assert rig.query("SELECT window_tasks FROM queues WHERE name = :name", name=QUEUE)[0][0] == 300


def test_a_slow_verifier_holds_up_generation_of_its_own_tenant_only(rig: Any) -> None:
    rig.set(publish_window=10)
    rig.submit(*lines(200), tenant="slow")
    rig.query(
        "UPDATE tasks SET state = 'verifying', published_at = now() "
        f"WHERE id IN (SELECT id FROM tasks ORDER BY id LIMIT {10 * UNDER_WAY_WINDOWS})"
    )
    rig.submit(*lines(3), tenant="quick")
    rig.sweep()
    assert owners(rig, rig.take(QUEUE)) == {"quick": 3}


def test_a_tenants_limit_bounds_what_starts_and_refills_with_time(rig: Any) -> None:
    set_limit(rig.store, scope="tenant", name="limited", per_s=1.0, burst=5.0)
    rig.submit(*lines(50), tenant="limited")
    rig.submit(*lines(7), tenant="free")
    rig.sweep()
    taken = rig.take(QUEUE)
    assert owners(rig, taken) == {"limited": 5, "free": 7}
    generate_given(rig.desk, taken)  # after three seconds in nobody's hands they would be published again
    rig.age("rate_limits", "refilled_at", hours=3 / 3600)
    rig.sweep()
    assert 3 <= owners(rig, rig.take(QUEUE))["limited"] <= 5
    assert [limit.name for limit in all_limits(rig.store)] == ["limited"]
    assert remove_limit(rig.store, scope="tenant", name="limited")
    rig.sweep()
    assert owners(rig, rig.take(QUEUE))["limited"] > GUARANTEED


def test_a_models_limit_acts_on_what_asks_that_model(rig: Any) -> None:
    set_limit(rig.store, scope="model", name="default", per_s=0.001, burst=2.0)
    rig.submit(*({"custom_id": str(i), "kind": "math", "prompt": "1 + 1"} for i in range(9)))
    rig.submit(*lines(4), key="given")  # asks no model
    rig.sweep()
    assert (rig.depth("generate"), rig.depth(QUEUE)) == (2, 4)


def started(rig: Any, *queues: str) -> list[Any]:
    """Begin what was published and end it, and return whose it was and where."""
    found = []
    for queue in queues:
        ids = rig.take(queue)
        found += rig.query("SELECT tenant, route FROM tasks WHERE id = ANY(:ids)", ids=ids)
        rig.query("UPDATE tasks SET state = 'cancelled' WHERE id = ANY(:ids)", ids=ids)
    return found


def by_the_second(rig: Any, *queues: str, n: int) -> list[Any]:
    found = []
    for _ in range(n):
        rig.age("rate_limits", "refilled_at", hours=1 / 3600)
        assert reconcile(replace(rig.desk, holder="another"), rig) <= len(queues)
        found += started(rig, *queues)
    return found


def test_a_slow_models_turns_go_round_among_tenants_whoever_sweeps(rig: Any) -> None:
    set_limit(rig.store, scope="model", name="default", per_s=1.0, burst=1.0)
    ask = {"kind": "math", "prompt": "1 + 1"}
    rig.submit(*({**ask, "custom_id": str(i)} for i in range(60)), tenant="big")
    rig.submit(*({**ask, "custom_id": str(i), "options": {"priority": 9}} for i in range(30)), tenant="loud")
    rig.submit(*({**ask, "custom_id": str(i)} for i in range(3)), tenant="small")
    got = Counter(row.tenant for row in by_the_second(rig, "generate", n=9))
    assert got == {"big": 3, "loud": 3, "small": 3}
    assert len(by_the_second(rig, "generate", n=4)) == 4  # and nothing is saved up for those who have no more


def test_a_tenants_limit_is_for_its_most_urgent_tasks_in_either_queue(rig: Any) -> None:
    set_limit(rig.store, scope="tenant", name="qa", per_s=1.0, burst=1.0)
    rig.submit(*({"kind": "math", "prompt": "1", "custom_id": str(i)} for i in range(40)), tenant="qa")
    rig.age(column="created_at", hours=1)
    rig.submit(*lines(20, priority=9), tenant="qa", key="urgent")
    got = Counter(row.route for row in by_the_second(rig, "generate", QUEUE, n=12))
    assert got == {QUEUE: 9, "generate": 3}  # every fourth turn is for what has risen the most


def test_a_paused_queue_starts_nothing_and_loses_nothing(rig: Any) -> None:
    rig.submit(*lines(4))
    rig.sweep()
    published = rig.take(QUEUE)
    pause(rig.store, QUEUE, who="me", why="a look around")
    generate_given(rig.desk, published)  # the message was in the broker already
    assert rig.states() == {"queued": 4}
    assert rig.sweep() == 0
    (state,) = (one for one in queue_states(rig.store) if one.name == QUEUE)
    assert (state.n_waiting, state.n_backlog, state.why) == (4, 4, "a look around")
    assert resume(rig.store, QUEUE)
    assert not resume(rig.store, QUEUE)
    assert rig.sweep() == 4


def test_a_paused_verifier_keeps_its_turns(rig: Any) -> None:
    rig.submit({**LINE, "custom_id": "v", "verify": [{"verifier": "math", "reference": "4"}]})
    rig.sweep()
    generate_given(rig.desk, rig.take(QUEUE))
    pause(rig.store, VERIFY["math"], who="me", why="")
    verify(rig.desk, rig.take(VERIFY["math"]), verifier="math", judge=nothing)
    assert rig.sweep() == 0
    resume(rig.store, VERIFY["math"])
    assert rig.sweep() == 1
    verify(rig.desk, rig.take(VERIFY["math"]), verifier="math", judge=nothing)
    assert rig.states() == {"deciding": 1}


def test_a_task_does_not_start_before_its_time(rig: Any) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    rig.submit(
        *lines(2),
        *({**line, "custom_id": "late"} for line in lines(1, not_before="2999-01-01T00:00:00Z")),
        not_before=soon,
    )
    assert rig.sweep() == 0
    rig.age(column="not_before")
    assert rig.sweep() == 2
    generate_given(rig.desk, rig.take(QUEUE))
    assert rig.states() == {"queued": 1, "deciding": 2}


def test_dead_letters_are_listed_and_driven_again(rig: Any) -> None:
    rig.submit(*lines(1), key="poison")
    for _ in range(rig.desk.settings.max_deliveries):
        rig.sweep()
        assert rig.desk.claim(
            rig.take(QUEUE), queue=QUEUE, from_states=["queued", "generating"], to_state="generating"
        )
        rig.age(column="lease_until")
        rig.age()
    rig.sweep()
    (dead,) = dead_tasks(rig.store, tenant="default", n=10)
    assert "the generate stage was begun 3 times" in dead.reason
    assert retry(rig.store, tenant="default", who="test", ids=[dead.id], only_dead=True) == [dead.id]
    assert rig.sweep() == 1
    generate_given(rig.desk, rig.take(QUEUE))
    assert rig.states() == {"deciding": 1}
    assert dead_tasks(rig.store, tenant="default", n=10) == []


def test_parked_messages_are_kept_whatever_they_are(rig: Any) -> None:
    bodies: list[object] = [
        [encode([])],
        None,
        "a\x00b\ud800",
        float("nan"),
        {"x" * 50_000: 1},
        b"\xff",
        object(),
    ]
    for body in bodies:
        park_message(rig.store, queue="decide", body=body, reason="r\x00", who="test")
    found = parked_messages(rig.store, n=100)
    assert len(found) == len(bodies)
    assert found[-1].body == {"message": [{"v": 1, "ids": []}]}
    mark_redriven(rig.store, [found[0].id])
    assert len(parked_messages(rig.store, n=100)) == len(bodies) - 1


def test_another_broker_is_given_everything_that_the_first_one_had(rig: Any) -> None:
    rig.submit(*lines(2), {**LINE, "custom_id": "v", "verify": [{"verifier": "math", "reference": "4"}]})
    rig.sweep()
    ids = rig.take(QUEUE)
    generate_given(rig.desk, ids[1:])
    rig.publish("decide", [(ids[0], 9)])  # something unrelated keeps the queues from being empty
    rig.publish(QUEUE, [(ids[0], 9)])
    rig.publish(VERIFY["math"], [(ids[0], 9)])
    assert rig.sweep() == 0
    rig.runs += 1  # flushed, or restarted
    assert rig.sweep() == 3


def test_of_two_clocks_one_rings(rig: Any) -> None:
    with ThreadPoolExecutor(8) as threads:
        claim = partial(claim_run, rig.store, "reconcile", gap_s=60.0)
        won = list(threads.map(lambda i: claim(who=f"clock {i}"), range(8)))
    assert sum(won) == 1
    rig.age("beat_jobs", "last_run_at", hours=0.02)
    assert claim(who="later")


def test_what_the_broker_refused_is_published_again_at_once(rig: Any) -> None:
    rig.submit(*lines(3))
    rig.takes_all = False  # its disk is full, say
    rig.sweep()
    rig.queues.clear()
    rig.takes_all = True
    assert rig.sweep() == 3
    rig.takes_all = False
    generate_given(rig.desk, rig.take(QUEUE))
    rig.queues.clear()
    rig.takes_all = True
    assert rig.sweep() == 3
    assert rig.depth(DECIDE) == 3


@pytest.mark.parametrize("n_threads", [1, 4, 8])
def test_the_neighbours_of_a_poisoned_task_are_not_parked_with_it(rig: Any, n_threads: int) -> None:
    rig.submit(*lines(8))
    poison = rig.query("SELECT id FROM tasks ORDER BY id LIMIT 1")[0].id
    for _ in range(60):
        rig.sweep()
        if not (taken := rig.take(QUEUE)):
            rig.age(column="lease_until")
            continue
        for start in range(0, len(taken), n_threads):  # so many messages are at work when the process dies
            beside = taken[start : start + n_threads]
            if poison not in beside:
                generate_given(rig.desk, beside)
                continue
            rig.desk.claim(beside, queue=QUEUE, from_states=["queued", "generating"], to_state="generating")
            break
        rig.age(column="published_at")
        rig.age(column="lease_until")
    assert rig.states() == {"failed": 1, "deciding": 7}
