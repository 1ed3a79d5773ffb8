"""Stages whose engine, verifier or task breaks, or whose batch is cancelled: nothing is lost, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event
from typing import Any
from uuid import UUID

import pytest

from benchmarks.waiting import until
from tests.integration.bench import Outbox, query, read_only, send, was_refused
from tests.integration.stages import CHAINS, MATH_LINE, PROMPT, age_leases, run_all
from verifiers.errors import SandboxUnavailableError
from verifiers.math.verifier import MathVerifier
from worker.engines.protocol import ChainRequest
from worker.engines.replay import ReplayEngine
from worker.errors import EngineFaultError, EngineUnavailableError, RequestRefusedError
from worker.messages import GENERATE, VERIFY
from worker.settings import Settings
from worker.stages.desk import Desk, patiently
from worker.stages.generate import generate
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.batches import results
from worker.store.ending import cancel_batch
from worker.store.leases import claim_tasks, note_fault
from worker.store.transactions import Store, is_alive

pytestmark = pytest.mark.services


def told(caplog: pytest.LogCaptureFixture, message: str) -> set[tuple[str, str]]:
    """Return the tasks and batches that the log names beside ``message``."""
    return {
        (record.__dict__["task_id"], record.__dict__["batch_id"])
        for record in caplog.records
        if record.message == message
    }


def test_a_task_that_kills_its_workers_is_parked_with_the_reason(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    made = send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    for _ in range(desk.settings.max_deliveries):
        held = claim_tasks(
            store,
            ids,
            queue=GENERATE,
            from_states=["queued", "generating"],
            to_state="generating",
            holder="doomed",
            lease_s=60,
            max_deliveries=desk.settings.max_deliveries,
        )
        assert held
        age_leases(store)
        reconcile(desk, outbox)
    (line,) = results(store, made.batch_id)
    assert line["state"] == "failed"
    assert line["error"]["type"] == "DeadLetter"
    assert "3 times" in line["error"]["message"]


def test_what_broke_a_stage_is_tried_alone_so_that_its_neighbours_survive(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    made = send(desk, *({**MATH_LINE, "custom_id": name} for name in ("poison", "neighbour")))
    ids = outbox.take(GENERATE)
    sent: list[list[UUID]] = []

    class Messages(Outbox):
        def publish(self, queue: str, tasks: Iterable[tuple[UUID, int]]) -> bool:
            sent.append([task_id for task_id, _ in tasks])
            return True

    watched = replace(desk, publisher=Messages())
    for _ in range(desk.settings.max_deliveries):
        held = desk.claim(ids, queue=GENERATE, from_states=["queued", "generating"], to_state="generating")
        tasks, error = [task.id for task in held], OverflowError("too many tokens")
        assert note_fault(store, tasks, error, holder=desk.holder) == {made.batch_id}
        age_leases(store)
        query(store, "UPDATE tasks SET published_at = now() - interval '2 hours' RETURNING 1")
        reconcile(watched, outbox)
        ids = ids[:1]  # from now on only the poison is begun
    assert sent
    assert all(len(message) == 1 for message in sent)
    poison, neighbour = results(store, made.batch_id)
    assert poison["state"] == "failed"
    assert "too many tokens" in poison["error"]["message"]
    assert neighbour["state"] == "generating"


def test_an_engine_that_is_away_costs_a_task_nothing_but_time(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            raise EngineUnavailableError("no GPU today")

    made = send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    for _ in range(desk.settings.max_deliveries + 2):
        generate(desk, ids, engine=Away({}), pool=pool)
        query(store, "UPDATE tasks SET not_before = NULL RETURNING 1")
    (row,) = query(store, "SELECT state, deliveries, error ->> 'message' AS message FROM tasks")
    assert (row.state, row.deliveries, row.message) == ("generating", 0, "no GPU today")
    assert told(caplog, "engine away") == {(str(ids[0]), str(made.batch_id))}
    generate(desk, ids, engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    assert query(store, "SELECT state FROM tasks")[0][0] == "verifying"


def test_an_engine_that_gives_too_few_chains_is_tried_again_but_not_for_ever(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Forgetful(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            return super().sample(task_id, requests[1:])

    send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    for _ in range(desk.settings.max_deliveries):
        generate(desk, ids, engine=Forgetful({PROMPT: CHAINS}), pool=pool)
        query(store, "UPDATE tasks SET not_before = NULL RETURNING 1")
    reconcile(desk, outbox)
    (row,) = query(store, "SELECT state, error ->> 'message' AS message FROM tasks")
    assert row.state == "failed"
    assert "without the chains 0" in row.message


def test_a_request_that_the_engine_refuses_fails_the_task_with_the_reason(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    made = send(desk, {**MATH_LINE, "prompt": "never recorded"})
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["error"]["type"]) == ("failed", "RequestRefusedError")


def test_a_broken_verifier_is_tried_again_and_never_says_no(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise SandboxUnavailableError("the sandbox is gone")

    made = send(desk, MATH_LINE)
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    ids = outbox.take(VERIFY["math"])
    for attempt in range(desk.settings.max_deliveries):
        assert [line["state"] for line in results(store, made.batch_id)] == ["verifying"], attempt
        verify(desk, ids, verifier="math", judge=broken)
        query(store, "UPDATE verifications SET not_before = NULL RETURNING 1")
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["error"]["type"]) == ("failed", "SandboxUnavailableError")
    assert query(store, "SELECT count(*) FROM verdicts")[0][0] == 0
    assert told(caplog, "verifier broke") == {(str(ids[0]), str(made.batch_id))}


def test_a_cancelled_batch_drops_what_is_under_way(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    made = send(desk, MATH_LINE, {**MATH_LINE, "custom_id": "n"})
    ids = outbox.take(GENERATE)
    generate(desk, ids[:1], engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    assert cancel_batch(store, made.batch_id, tenant="default", who="test") == 2
    outbox.queues[GENERATE] = ids[1:]
    run_all(desk, outbox, pool, math)
    assert [line["state"] for line in results(store, made.batch_id)] == ["cancelled", "cancelled"]
    assert query(store, "SELECT count(*) FROM decisions")[0][0] == 0
    assert cancel_batch(store, made.batch_id, tenant="somebody else", who="test") is None


@pytest.mark.parametrize("error", [EngineUnavailableError, EngineFaultError, RequestRefusedError])
def test_an_engines_error_that_cannot_be_written_at_once_costs_no_other_task_its_chains(
    desk: Desk,
    outbox: Outbox,
    *,
    pool: ThreadPoolExecutor,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    send(desk, MATH_LINE, {**MATH_LINE, "custom_id": "bad"})
    ids = outbox.take(GENERATE)
    begun, away, back = Barrier(3), Event(), Event()

    class Broken(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            begun.wait()
            if task_id == str(ids[1]):
                away.wait()
                raise error("no GPU today")
            back.wait()
            return super().sample(task_id, requests)

    stage = pool.submit(generate, desk, ids, engine=Broken({PROMPT: CHAINS}), pool=pool)
    begun.wait()
    with read_only(settings):
        away.set()
        until(lambda: was_refused(caplog, "worker.stages.desk"), "its end is not written")
    back.set()
    stage.result(timeout=200)
    states = "SELECT state, attempt, (SELECT count(*) FROM chains c WHERE c.task_id = tasks.id) FROM tasks ORDER BY id"
    patiently(lambda: is_alive(desk.store))
    good, bad = query(desk.store, states)
    assert tuple(good) == ("verifying", 1, 8)
    assert tuple(bad) == ("failed" if error is RequestRefusedError else "generating", 1, 0)


@pytest.mark.parametrize("max_deliveries", [1, 3])
def test_a_broken_verifier_that_cannot_be_written_at_once_costs_no_other_task_its_verdicts(
    desk: Desk,
    outbox: Outbox,
    *,
    pool: ThreadPoolExecutor,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    max_deliveries: int,
) -> None:
    send(desk, MATH_LINE, {**MATH_LINE, "custom_id": "n"})
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    ids = outbox.take(VERIFY["math"])
    begun, away, judged = Event(), Event(), []

    def broken(line: Any, *_: object, **__: object) -> Any:
        judged.append(line.custom_id)
        if len(judged) > 1:
            return []
        begun.set()
        away.wait()
        raise SandboxUnavailableError("the sandbox is gone")

    busy = replace(desk, settings=replace(desk.settings, max_deliveries=max_deliveries))
    stage = pool.submit(verify, busy, ids, verifier="math", judge=broken)
    begun.wait()
    with read_only(settings):
        away.set()
        until(lambda: was_refused(caplog, "worker.stages.desk"), "it is not written")
    stage.result(timeout=200)
    patiently(lambda: is_alive(desk.store))
    found = {row.custom_id: row.state for row in query(desk.store, "SELECT custom_id, state FROM tasks")}
    assert found == {
        judged[0]: "failed" if max_deliveries == 1 else "verifying",
        judged[1]: "deciding",
    }


class Slow(ReplayEngine):
    """Nothing but an abort ends it within the test."""

    def __init__(self, recorded: Any, *, latency_s: float) -> None:
        super().__init__(recorded, latency_s=latency_s)
        self.begun = Event()

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
        self.begun.set()
        return super().sample(task_id, requests)


def test_a_cancelled_batch_aborts_the_chains_under_way(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    made = send(desk, MATH_LINE)
    engine = Slow({PROMPT: CHAINS}, latency_s=3600)
    stage = pool.submit(generate, desk, outbox.take(GENERATE), engine=engine, pool=pool)
    engine.begun.wait()
    cancel_batch(store, made.batch_id, tenant=desk.settings.tenant, who="test")
    stage.result(timeout=120)
    (row,) = query(store, "SELECT state, tokens_spent, (SELECT count(*) FROM chains) AS n FROM tasks")
    assert (row.state, row.tokens_spent, row.n) == ("cancelled", 0, 0)


def test_a_task_that_another_worker_took_over_is_not_sampled_on(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    send(desk, MATH_LINE)
    engine = Slow({PROMPT: CHAINS}, latency_s=3600)
    stage = pool.submit(generate, desk, outbox.take(GENERATE), engine=engine, pool=pool)
    engine.begun.wait()
    query(store, "UPDATE tasks SET attempt = attempt + 1, holder = 'heir' RETURNING 1")
    stage.result(timeout=120)
    assert query(store, "SELECT holder, state FROM tasks")[0] == ("heir", "generating")
