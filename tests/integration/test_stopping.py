"""Real workers stopped warm, softly and hard, in the middle of their work: nothing is lost and nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.soak.audit import violations
from benchmarks.soak.worker import SLOW
from benchmarks.waiting import PATIENCE_S, until
from tests.integration.bench import query
from worker.app import make_app
from worker.embedded.services import Services
from worker.messages import RECONCILE
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.transactions import Store
from worker.submitting import submit
from worker.supervisor import worker_environment

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
ROLES = ("beat", "generate", "verify.math,generate.given", "decide,reconcile")
ALL = "generate,verify.math,decide,reconcile"
LONG = {"MERGEREASONER_LEASE_S": "100"}
"""Of a lease that does not run out when a living worker stands still for some seconds: what is then taken again is no
fault of the stop."""

N_TASKS = 40

Start = Callable[..., subprocess.Popen[bytes]]
Woken = Callable[[Callable[[], object]], Callable[[], object]]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Start a worker of some queues as if on a machine of its own; its file ``ready`` says when it takes messages."""
    started: list[subprocess.Popen[bytes]] = []

    def run(queues: str, script: str = "", **changes: str) -> subprocess.Popen[bytes]:
        state_dir = tmp_path / f"machine {len(started)}"
        state_dir.mkdir()
        own = replace(
            settings,
            state_dir=state_dir,
            engine="replay",
            replay_file=tmp_path / "recording.jsonl",
            ready_file=state_dir / "ready",
        )
        program = ["-c", script] if script else ["-m", "benchmarks.soak.worker"]
        command = [sys.executable, *program, "worker", "--queues", queues]
        environment = worker_environment(own, os.environ) | changes
        with (tmp_path / "workers.log").open("ab") as log:
            started.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log, stdout=log))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def publisher(settings: Settings) -> CeleryPublisher:
    assert settings.broker_url is not None
    return CeleryPublisher(make_app(settings.broker_url), message_tasks=2)


@pytest.fixture
def woken(services: Services, publisher: CeleryPublisher) -> Woken:
    """Turn a condition into one that asks for a sweep when it is looked at and none waits: so no clock is needed.

    Were one asked for each time, a worker that is slow to start would have a hundred to do, and one of them might take
    up again what a stop has just given back.
    """

    def after_a_call(condition: Callable[[], object]) -> Callable[[], object]:
        def look() -> object:
            with redis.Redis.from_url(services.redis_url) as client:
                if not client.keys(f"{RECONCILE}*"):  # a list without messages is not there
                    publisher.wake()
            return condition()

        return look

    return after_a_call


@pytest.fixture
def send(settings: Settings, store: Store, publisher: CeleryPublisher, tmp_path: Path) -> Callable[..., None]:
    def submit_all(*lines: dict[str, Any]) -> None:
        with (tmp_path / "recording.jsonl").open("w") as recording:
            for line in lines:
                chains = [{"text": r"\boxed{4}", "logprob": -1.0, "n_tokens": 1}] * 2
                recording.write(json.dumps({"prompt": line["prompt"], "chains": chains}) + "\n")
        file = tmp_path / "tasks.jsonl"
        file.write_text("\n".join(json.dumps(line) for line in lines))
        with file.open("rb") as stream:
            submit(store, publisher, stream, file="t", error_file=tmp_path / "e", settings=settings)

    return submit_all


def line(number: int, prompt: str) -> dict[str, Any]:
    return {
        "custom_id": str(number),
        "kind": "math",
        "prompt": prompt,
        "options": {"k": 2, "equivalence": "exact", "early_exit": "none"},
        "verify": [{"verifier": "math", "reference": "4"}],
    }


def n_finished(store: Store) -> int:
    return int(query(store, "SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL")[0][0])


def n_ready(folder: Path) -> int:
    """Return how many workers have ever been ready; beat does not say so, and is started first."""
    return len(list(folder.glob("machine */ready")))


def the_clock_is_up(folder: Path, machine: int) -> bool:
    """Return whether the clock of a machine says how it is, which it does once it takes signals."""
    return any((folder / f"machine {machine}" / "processes").glob("beat@*.health.json"))


def n_again(store: Store) -> int:
    return int(query(store, "SELECT count(*) FROM task_events WHERE why LIKE 'taken again%'")[0][0])


def test_every_role_stopped_in_each_way_loses_nothing_and_does_nothing_twice(
    start: Start, send: Callable[..., None], store: Store, tmp_path: Path
) -> None:
    send(*(line(i, f"number {i}") for i in range(N_TASKS)))
    for n, (how, codes) in enumerate(
        [(signal.SIGTERM, {0}), (signal.SIGQUIT, {0}), (signal.SIGKILL, {-signal.SIGKILL})]
    ):
        # A stop has all the time that it needs; who is killed leaves leases that are to run out.
        patient = {"MERGEREASONER_SOFT_STOP_S": "200"}
        if how is not signal.SIGKILL:
            patient |= LONG
        processes = [start(role, MERGEREASONER_MESSAGE_TASKS="1", **patient) for role in ROLES]
        until(lambda n=n: n_ready(tmp_path) == 3 * (n + 1), "all are ready")  # type: ignore[misc]
        until(lambda n=n: the_clock_is_up(tmp_path, len(ROLES) * n), "the clock is up, too")  # type: ignore[misc]
        until(lambda n=n: n_finished(store) > 8 * n, "some are done")  # type: ignore[misc]
        before = n_again(store)
        for process in processes:
            process.send_signal(how)
        told = {process.wait(PATIENCE_S) for process in processes}
        assert told == codes  # bounded, and none of them complains
        if how is not signal.SIGKILL:
            held = query(store, "SELECT id FROM tasks WHERE lease_until IS NOT NULL AND finished_at IS NULL")
            assert (held, n_again(store)) == ([], before)  # what was at work was finished
    start(ALL, **LONG)
    start("beat")
    until(lambda: n_finished(store) == N_TASKS, "the rest is done")
    assert violations(store) == {}


def test_a_soft_stop_gives_back_what_takes_too_long_and_it_is_no_delivery(
    start: Start, send: Callable[..., None], woken: Woken, store: Store
) -> None:
    send(line(0, f"{SLOW} 0"))
    process = start(ALL, MERGEREASONER_SOFT_STOP_S="0.2", SOAK_SLOW_S="1000", **LONG)
    until(woken(lambda: at_work(store)), "somebody is at work")
    process.send_signal(signal.SIGQUIT)
    assert process.wait(PATIENCE_S) == 1
    (row,) = query(store, "SELECT state, holder, deliveries, published_at FROM tasks")
    assert tuple(row) == ("generating", None, 0, None)  # at once, and not when the lease has run out
    # Were the stop a delivery, the task would be parked.
    start(ALL, MERGEREASONER_MAX_DELIVERIES="1", SOAK_SLOW_S="0.1", **LONG)
    until(woken(lambda: n_finished(store)), "it is done at last")
    assert violations(store) == {}
    again = query(store, "SELECT why FROM task_events WHERE from_state = to_state")
    assert [row.why for row in again] == ["its worker was stopped"]


def test_each_further_signal_is_a_step_harder(
    start: Start, send: Callable[..., None], woken: Woken, store: Store, tmp_path: Path
) -> None:
    send(line(0, f"{SLOW} 0"))
    process = start(ALL, MERGEREASONER_SOFT_STOP_S="1000", SOAK_SLOW_S="1000", **LONG)
    until(woken(lambda: at_work(store)), "somebody is at work")
    log = tmp_path / "workers.log"
    for how in ("WARM", "SOFT", "AT_ONCE"):  # long before the stage or a soft stop is over
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        # Two signals that come before the first is handled are one.
        until(lambda how=how: f'"how": "{how}"' in log.read_text(), f"it has heard: {how}")  # type: ignore[misc]
    assert process.wait(PATIENCE_S) == 1
    assert not at_work(store)
    assert n_finished(store) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=lambda s: s.name)
def test_a_worker_that_does_not_listen_yet_can_be_stopped(
    start: Start, send: Callable[..., None], tmp_path: Path, how: signal.Signals
) -> None:
    send(line(0, "number 0"))
    process = start(ALL, script=SIGNALS_ITSELF.format(how=how.name))
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "workers.log").read_text()
    process = start(ALL)
    process.send_signal(how)  # before Python or Celery is there
    assert process.wait(PATIENCE_S) in {0, -how}, (tmp_path / "workers.log").read_text()


SIGNALS_ITSELF = """
import os, signal, sys
from celery import bootsteps
from benchmarks.soak import worker
from worker import process


class Step(bootsteps.StartStopStep):
    def start(self, consumer):
        os.kill(os.getpid(), signal.{how})


def made(*given, make=process.make_app, **named):
    app = make(*given, **named)
    app.steps["worker"].add(Step)
    return app


process.make_app = made
worker.main()
"""
"""Sends itself a signal as soon as its parts are started, before it takes messages."""


def at_work(store: Store) -> bool:
    return bool(query(store, "SELECT 1 FROM tasks WHERE state = 'generating' AND lease_until > now()"))
