"""Real workers behind a real network that is cut: they hear again, or say that they don't and end themselves."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import redis

from benchmarks.soak.proxy import Proxy
from benchmarks.soak.rubbish import rubbish
from benchmarks.waiting import until
from cli.dead import send_again
from worker.app import make_app
from worker.embedded.services import Services
from worker.health import read_reports
from worker.messages import GENERATE_GIVEN, STAGE_QUEUES
from worker.publisher import CeleryPublisher
from worker.settings import Settings
from worker.store.batches import get_batch
from worker.store.dead import parked_messages
from worker.store.transactions import Store
from worker.supervisor import worker_environment

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
QUEUES = f"{GENERATE_GIVEN},decide,reconcile"
# A clock whose machine is an hour behind the others.
BEHIND = """
from datetime import timedelta
from celery import Celery
now = Celery.now
Celery.now = lambda self: now(self) - timedelta(hours=1)
from cli.main import main
main()
"""
# A worker that stops listening without noticing: the fault itself, whatever may bring it about.
DEAF = """
from celery.signals import worker_ready
worker_ready.connect(lambda sender, **_: sender.hub.call_soon(sender.task_consumer.cancel), weak=False)
from cli.main import main
main()
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def proxy(services: Services, tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(
        services.state.sockets / f"proxy-{tmp_path.name[-20:]}.sock", services.state.sockets / "valkey.sock"
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def start(settings: Settings, proxy: Proxy, tmp_path: Path) -> Iterator[Start]:
    """Start a worker whose broker is behind the proxy."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*program: str, queues: str = QUEUES, **changes: str) -> subprocess.Popen[bytes]:
        environment = worker_environment(settings, os.environ) | {
            "BROKER_URL": f"redis+socket://{quote(str(proxy.here), safe='/')}?virtual_host=0",
            "MERGEREASONER_SWEPT_WITHIN_S": "600",  # there is no clock, mostly
            **changes,
        }
        command = [sys.executable, *(program or ("-m", "cli.main")), "worker", "--queues", queues]
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log, stdout=log))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


class Direct:
    """The producer's side, which is not behind the proxy."""

    def __init__(self, rig: Any, settings: Settings) -> None:
        assert settings.broker_url is not None
        self._rig = rig
        self._publisher = CeleryPublisher(make_app(settings.broker_url), message_tasks=2)
        self._n = 0

    def sweep(self) -> None:
        """Publish what waits, as the reconciler does."""
        self._rig.sweep()
        for queue in list(self._rig.queues):
            assert self._publisher.publish(queue, self._rig.queues.pop(queue))

    def send(self, n: int) -> Callable[[], bool]:
        """Publish ``n`` tasks once, by hand; return whether all of them are decided."""
        self._n += 1
        line = {"kind": "math", "chains": [{"text": "4"}], "options": {"equivalence": "exact"}}
        made = self._rig.submit(*({**line, "custom_id": str(i)} for i in range(n)), key=str(self._n))
        self.sweep()

        return partial(is_finished, self._rig.store, made.batch_id)


@pytest.fixture
def direct(rig: Any, settings: Settings) -> Direct:
    return Direct(rig, settings)


def faults(settings: Settings) -> list[str] | None:
    reports = read_reports(settings.processes_dir)
    return reports[0].faults if reports else None


def test_a_worker_hears_again_after_its_connection_was_cut(
    start: Start, proxy: Proxy, direct: Direct, settings: Settings
) -> None:
    start()
    until(direct.send(4), "the first tasks")
    for _ in range(2):
        proxy.cut()
        until(lambda: "broker away" in str(faults(settings)), "the report says so")
        is_done = direct.send(4)  # published while nobody listens
        proxy.restore()
        until(is_done, "the tasks of the cut")
        until(direct.send(4), "the tasks after it")
        until(lambda: faults(settings) == [], "the report says that all is well")


def test_a_worker_whose_network_swallows_everything_notices_and_hears_again(
    start: Start, proxy: Proxy, direct: Direct
) -> None:
    start()
    until(direct.send(2), "the first tasks")
    proxy.swallow()  # no error and no answer: a firewall that forgot the connection
    is_done = direct.send(4)

    def is_done_at_last() -> bool:
        direct.sweep()  # a message that the broker handed to the dead connection is lost, and published again
        return is_done()

    until(is_done_at_last, "the tasks after it")


def test_a_worker_that_is_alive_but_deaf_says_so_and_ends_itself(
    start: Start, direct: Direct, settings: Settings
) -> None:
    # With time to end well: a soft stop that is cut short ends with the same code, but leaves its report behind.
    process = start("-c", DEAF, MERGEREASONER_DEAF_AFTER_S="3", MERGEREASONER_SOFT_STOP_S="200")
    until(lambda: faults(settings) == [], "the worker is up")
    is_done = direct.send(2)
    until(lambda: "deaf" in str(faults(settings)) or process.poll() is not None, "it says so")
    until(lambda: process.poll() is not None, "it ends")
    assert process.returncode == 1
    assert faults(settings) is None  # and leaves no report behind
    start()
    until(is_done, "a fresh process does its work")


def test_a_reconciler_says_that_nobody_asks_it_for_a_sweep_until_a_clock_does_however_late_it_runs(
    start: Start, settings: Settings, direct: Direct, rig: Any
) -> None:
    start(queues="reconcile", MERGEREASONER_SWEPT_WITHIN_S="2")
    until(lambda: "no sweep has ended" in str(faults(settings)), "it says so")
    start("-c", BEHIND, queues="beat")
    until(
        lambda: [report.faults for report in read_reports(settings.processes_dir)] == [[], []], "all is well"
    )
    # What the clock asked for was done, and not dropped for having expired.
    line = {"custom_id": "late", "kind": "math", "chains": [{"text": "4"}]}
    made = rig.submit({**line, "options": {"equivalence": "exact"}})
    start(queues=f"{GENERATE_GIVEN},decide")
    until(partial(is_finished, rig.store, made.batch_id), "the task is decided")


def test_one_sweep_that_nobody_has_begun_is_asked_for_once(services: Services, settings: Settings) -> None:
    publisher = CeleryPublisher(make_app(settings.broker_url or ""), message_tasks=2)
    for _ in range(3):
        publisher.wake()
    with redis.Redis.from_url(services.redis_url) as client:
        (message,) = client.lrange("reconcile", 0, -1)
        assert json.loads(message)["headers"]["expires"] is None  # a time by our own clock
        client.delete("reconcile")
        publisher.wake()
        assert client.llen("reconcile") == 1


def is_finished(store: Store, batch_id: UUID) -> bool:
    batch = get_batch(store, batch_id, tenant="default")
    return batch is not None and batch.is_finished


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits another process's files")
def test_a_worker_outlives_a_broker_whose_disk_is_full(
    start: Start, direct: Direct, services: Services, settings: Settings
) -> None:
    process = start()
    until(direct.send(2), "the first tasks")
    assert services.broker_pid is not None
    logs = [log.stat().st_size for log in services.state.valkey.rglob("*.aof")]
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(services.broker_pid, resource.RLIMIT_FSIZE, (max(logs) + 500, unlimited))
    try:
        until(lambda: is_full(services), "its disk is full")
        until(lambda: "MISCONF" in str(faults(settings)), "the report says so")
    finally:
        resource.prlimit(services.broker_pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    until(lambda: faults(settings) == [], "the report says that all is well")
    until(direct.send(4), "the tasks after it")
    assert process.poll() is None  # the same process


def test_a_worker_that_lost_its_database_says_so_and_goes_on_by_itself(
    start: Start, direct: Direct, services: Services, settings: Settings, rig: Any
) -> None:
    process = start()
    until(direct.send(2), "the first tasks")
    services.kill_database()
    until(lambda: "database away" in str(faults(settings)), "the report says so")
    services.restart_database()
    until(lambda: faults(settings) == [], "the report says that all is well")
    rig.store.dispose()  # our own connections died as well
    until(direct.send(4), "the tasks after it")
    assert process.poll() is None  # the same process


def test_rubbish_and_other_versions_are_parked_and_the_worker_goes_on(
    start: Start, direct: Direct, services: Services, settings: Settings, rig: Any
) -> None:
    process = start()
    until(direct.send(2), "the first tasks")
    with redis.Redis.from_url(services.redis_url) as client:
        client.lpush("decide", b"\xff rubbish", json.dumps({"body": "x"}))
    app = make_app(settings.broker_url or "")
    app.send_task("decide", args=[{"v": 99, "ids": []}], queue="decide")
    app.send_task("no such stage", queue="decide")
    until(lambda: len(parked_messages(rig.store, n=10)) == 4, "all are parked")
    reasons = " | ".join(sorted(message.reason for message in parked_messages(rig.store, n=10)))
    for word in ("no JSON", "no message envelope", "not a message of version 1", "unknown stage"):
        assert word in reasons
    until(direct.send(2), "the tasks after it")
    assert process.poll() is None


def test_malformed_messages_are_parked_and_end_no_worker(
    start: Start, direct: Direct, services: Services, rig: Any
) -> None:
    process = start()
    until(direct.send(2), "the first tasks")
    with redis.Redis.from_url(services.redis_url) as client:
        for n, (fault, message) in enumerate(rubbish("decide").items(), start=1):
            client.lpush("decide", message)
            until(partial(is_parked_or_ended, rig.store, n, process), fault)
            assert process.poll() is None, fault  # the same process
            until(direct.send(1), f"the task after {fault}")
            assert len(parked_messages(rig.store, n=100)) == n, fault  # once
            assert client.hlen("unacked") == 0, fault  # for good


def is_parked_or_ended(store: Store, n: int, process: subprocess.Popen[bytes]) -> bool:
    return len(parked_messages(store, n=100)) >= n or process.poll() is not None


def test_a_message_for_an_unknown_stage_is_driven_again_once_the_stage_is_known(
    start: Start, direct: Direct, settings: Settings, rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    until(direct.send(2), "the first tasks")
    ids = [str(uuid4())]
    make_app(settings.broker_url or "").send_task("decide.v2", args=[{"v": 1, "ids": ids}], queue="decide")
    until(lambda: parked_messages(rig.store, n=10), "it is parked")
    parked = parked_messages(rig.store, n=10)
    assert send_again(rig.store, rig, parked) == 0  # still unknown
    monkeypatch.setattr("cli.dead.STAGE_QUEUES", (*STAGE_QUEUES, "decide.v2"))
    rig.takes_all = False
    assert send_again(rig.store, rig, parked) == 0  # the broker takes nothing
    assert parked_messages(rig.store, n=10) == parked
    rig.takes_all = True
    assert send_again(rig.store, rig, parked) == 1
    assert [str(i) for i in rig.take("decide.v2")][-1:] == ids
    assert parked_messages(rig.store, n=10) == []


def is_full(services: Services) -> bool:
    with redis.Redis.from_url(services.redis_url) as client:
        try:
            client.set("filler", "x" * 1000)
        except redis.ResponseError:
            return True
    return False


def test_the_health_command_tells_by_its_exit_code(start: Start, direct: Direct, settings: Settings) -> None:
    def health() -> subprocess.CompletedProcess[str]:
        environment = worker_environment(settings, os.environ)
        command = [sys.executable, "-m", "cli.main", "health", "--json"]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert health().returncode == 1  # nothing runs
    process = start()
    until(lambda: faults(settings) == [], "the worker is up")
    well = health()
    assert (well.returncode, json.loads(well.stdout)["faults"]) == (0, [])
    process.kill()
    process.wait()
    ill = health()
    assert (ill.returncode, json.loads(ill.stdout)["faults"]) == (1, [f"process {process.pid} has ended"])


def test_a_worker_whose_endpoint_is_away_says_what_it_waits_for_and_is_not_ill(
    start: Start, settings: Settings
) -> None:
    start(queues="generate", MERGEREASONER_ENGINE="openai", MERGEREASONER_BASE_URL="http://127.0.0.1:9/v1")

    def told() -> str:
        return " ".join(wait for report in read_reports(settings.processes_dir) for wait in report.waits)

    until(lambda: "waits for its engine: the endpoint cannot be reached" in told(), "the report says so")
    check = [sys.executable, "-m", "worker.health", str(settings.processes_dir)]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("generate: waits for its engine: the endpoint cannot be reached")
