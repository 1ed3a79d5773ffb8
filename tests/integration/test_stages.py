"""Stages on real rows: claimed once, fenced, idempotent, and decided by the last verdict."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.integration.bench import Outbox, query, send
from tests.integration.stages import CHAINS, MATH_LINE, PROMPT, age_leases, run_all
from verifiers.math.verifier import MathVerifier
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE, VERIFY
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.batches import results
from worker.store.chains import Generated, save_generated
from worker.store.leases import claim_tasks
from worker.store.transactions import Store

pytestmark = pytest.mark.services


def test_a_task_goes_from_submission_to_a_decision_with_its_whole_history(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    made = send(desk, MATH_LINE)
    run_all(desk, outbox, pool, math)
    (line,) = results(store, made.batch_id)
    assert line["state"] == "answered"
    assert line["answer"] == "2"
    assert line["vote_margin"] == 7 / 8  # 2, 2.0 and 4/2 are one cluster
    assert line["tokens"] == {"spent": 32, "saved": 0}
    events = query(store, "SELECT from_state, to_state FROM task_events ORDER BY id")
    assert [tuple(event) for event in events] == [
        (None, "queued"),
        ("queued", "generating"),
        ("generating", "verifying"),
        ("verifying", "deciding"),
        ("deciding", "answered"),
    ]


def test_every_message_delivered_three_times_leaves_one_set_of_rows(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    send(desk, MATH_LINE, {**MATH_LINE, "custom_id": "n"})
    engine, judge = ReplayEngine({PROMPT: CHAINS}), MathJudge(math).judge
    ids = outbox.take(GENERATE)
    for _ in range(3):
        generate(desk, ids, engine=engine, pool=pool)
    for _ in range(3):
        verify(desk, ids, verifier="math", judge=judge)
    for _ in range(3):
        decide(desk, ids)
        generate(desk, ids, engine=engine, pool=pool)
    counts = {
        table: query(store, f"SELECT count(*) FROM {table}")[0][0]
        for table in ("chains", "verdicts", "decisions", "task_events")
    }
    assert counts == {"chains": 16, "verdicts": 2, "decisions": 2, "task_events": 10}


def test_a_worker_that_was_thought_dead_cannot_write_over_its_successor(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    claim = partial(
        claim_tasks,
        store,
        ids,
        queue=GENERATE,
        from_states=["queued", "generating"],
        to_state="generating",
        lease_s=60,
        max_deliveries=3,
    )
    (slow,) = claim(holder="slow")
    assert claim(holder="early") == []  # the lease still runs
    age_leases(store)
    (heir,) = claim(holder="heir")
    assert heir.attempt == slow.attempt + 1
    nothing_sampled = partial(Generated, chains=[], verifiers=[])
    assert save_generated(store, [nothing_sampled(task=slow)], who="slow") == []
    assert len(save_generated(store, [nothing_sampled(task=heir)], who="heir")) == 1
    assert save_generated(store, [nothing_sampled(task=heir)], who="heir") == []


def test_a_flushed_broker_loses_nothing(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    made = send(desk, MATH_LINE)
    stages: tuple[Callable[[], None], ...] = (
        lambda: generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool),
        lambda: verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(math).judge),
        lambda: decide(desk, outbox.take(DECIDE)),
    )
    for stage in stages:
        outbox.queues.clear()  # flushed: every message is gone
        for table in ("tasks", "verifications"):
            query(store, f"UPDATE {table} SET published_at = now() - interval '4 s' RETURNING 1")
        assert reconcile(desk, outbox) == 1
        stage()
    assert [line["state"] for line in results(store, made.batch_id)] == ["answered"]


def test_the_reconciler_publishes_nothing_twice_while_messages_wait(desk: Desk, outbox: Outbox) -> None:
    send(desk, MATH_LINE)
    assert reconcile(desk, outbox) == 0


def test_a_batch_larger_than_the_window_is_topped_up(desk: Desk, outbox: Outbox, store: Store) -> None:
    small = Desk(
        store=store,
        publisher=outbox,
        keeper=desk.keeper,
        settings=Settings(state_dir=desk.settings.state_dir, publish_window=3),
        holder="test",
    )
    send(small, *({**MATH_LINE, "custom_id": str(i)} for i in range(8)))
    assert outbox.depth(GENERATE) == 3
    assert reconcile(small, outbox) == 0  # the window is full
    seen = set(outbox.queues[GENERATE])
    while taken := outbox.take(GENERATE):
        assert len(taken) <= 3
        generate(
            small, taken, engine=ReplayEngine({}), pool=ThreadPoolExecutor(1)
        )  # refuses, and so ends them
        reconcile(small, outbox)
        seen |= set(outbox.queues[GENERATE])
    assert len(seen) == 8


def test_the_same_file_again_is_the_same_batch(desk: Desk, outbox: Outbox, store: Store) -> None:
    first, again = send(desk, MATH_LINE), send(desk, MATH_LINE)
    other = send(desk, MATH_LINE, key="another run")
    assert again.existed
    assert again.batch_id == first.batch_id
    assert other.batch_id != first.batch_id
    assert query(store, "SELECT count(*) FROM tasks")[0][0] == 2


def test_two_submitters_of_one_file_make_one_batch(desk: Desk, store: Store) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: send(desk, MATH_LINE), range(4)))
    assert len({one.batch_id for one in made}) == 1
    assert sum(not one.existed for one in made) == 1
    assert query(store, "SELECT count(*) FROM tasks")[0][0] == 1


def test_text_that_postgres_cannot_keep_does_not_lose_a_chain(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    odd = [RecordedChain(text="a\x00b\ud800 \\boxed{2}", logprob=-1.0, n_tokens=2)] * 8
    send(desk, MATH_LINE)
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: odd}), pool=pool)
    assert query(store, "SELECT text FROM chains")[0][0] == "a�b� \\boxed{2}"


def test_given_chains_and_candidates_need_no_engine(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    made = send(
        desk,
        {
            "custom_id": "c",
            "kind": "math",
            "chains": [{"text": "so 4"}, {"text": "it is 4.0"}, {"text": "5"}],
        },
        {
            "custom_id": "d",
            "kind": "math",
            "candidates": ["4", "5"],
            "verify": [{"verifier": "math", "reference": "5.0"}],
            "options": {"min_confirmations": 1},
        },
    )
    assert outbox.depth(GENERATE) == 0
    run_all(desk, outbox, pool, math)
    first, second = results(store, made.batch_id)
    assert (first["answer"], first["vote_margin"], first["weights"]) == ("4", 2 / 3, "votes")
    assert (second["answer"], second["state"], second["verdicts"]) == (
        "5",
        "answered",
        {"math": {"confirmed": 1, "refuted": 1}},
    )


def test_a_label_is_stored_apart_and_never_reaches_the_task(desk: Desk, store: Store) -> None:
    send(desk, {**MATH_LINE, "label": "two"})
    assert query(store, "SELECT answers FROM labels")[0][0] == ["two"]
    assert query(store, "SELECT count(*) FROM tasks WHERE spec::text LIKE '%two%'")[0][0] == 0
