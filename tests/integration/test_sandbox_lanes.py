"""Long-lived bubblewraps: used again while beyond doubt, replaced otherwise, and done without where they can't be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.protocol import Job, Limits, Trial
from verifiers.sandbox.station import Station, StationPair
from worker.telemetry.pools import PoolCollector

pytestmark = pytest.mark.sandbox

JOB = Job(program="def f(x):\n    return x * x\n", tests="assert f(2) == 4")
LIMITS = Limits(cpu_s=2, wall_s=20)


@pytest.fixture
def sandbox(needs_sandbox: None) -> Iterator[BubblewrapSandbox]:
    made = BubblewrapSandbox(bubblewrap_binaries()[0])
    yield made
    assert made.warm
    made.close()


def confirmed(trial: Trial) -> bool:
    return trial.report is not None and trial.report["outcome"] == "confirmed"


def process_of(station: Station) -> subprocess.Popen[bytes]:
    return station._process


def idle(sandbox: BubblewrapSandbox) -> list[StationPair]:
    assert sandbox._lanes is not None
    return [lane for _, lane in sandbox._lanes._idle]


def test_a_lane_is_used_again(sandbox: BubblewrapSandbox) -> None:
    assert confirmed(sandbox.run(JOB, LIMITS))
    (first,) = idle(sandbox)
    assert confirmed(sandbox.run(JOB, LIMITS))
    assert idle(sandbox) == [first]


def test_the_metrics_tell_how_the_lanes_stand(sandbox: BubblewrapSandbox) -> None:
    registry = CollectorRegistry()
    registry.register(
        PoolCollector(lambda: None if (pool := sandbox.pool()) is None else (sandbox.kind, pool))
    )
    for _ in range(2):
        assert confirmed(sandbox.run(JOB, LIMITS))
    labels = {"sandbox": "bubblewrap"}

    def value(name: str, **more: str) -> float | None:
        return registry.get_sample_value(f"merge_reasoner_sandbox_{name}", labels | more)

    assert (value("lanes", state="warm"), value("lanes", state="busy")) == (1, 0)
    assert (value("starts_total"), value("claims_total"), value("broken_total")) == (1, 2, 0)
    assert value("start_failures_total") == 0


def test_a_lane_is_replaced_when_it_is_old(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandbox._lanes is not None
    monkeypatch.setattr(sandbox._lanes, "max_claims", 2)
    assert confirmed(sandbox.run(JOB, LIMITS))
    (first,) = idle(sandbox)
    assert confirmed(sandbox.run(JOB, LIMITS))
    assert idle(sandbox) == []
    assert process_of(first.judge).wait(100) is not None  # and nothing of it is left
    assert confirmed(sandbox.run(JOB, LIMITS))


def test_a_lane_that_died_in_its_sleep_is_replaced(sandbox: BubblewrapSandbox) -> None:
    assert confirmed(sandbox.run(JOB, LIMITS))
    (first,) = idle(sandbox)
    os.kill(process_of(first.judged).pid, signal.SIGKILL)
    process_of(first.judged).wait()
    assert confirmed(sandbox.run(JOB, LIMITS))


def test_lanes_outlive_the_threads_that_used_them_first(sandbox: BubblewrapSandbox) -> None:
    thread = threading.Thread(target=sandbox.run, args=(JOB, LIMITS))
    thread.start()
    thread.join()
    (first,) = idle(sandbox)
    assert confirmed(sandbox.run(JOB, LIMITS))
    assert idle(sandbox) == [first]


def test_claims_at_once_have_lanes_of_their_own(sandbox: BubblewrapSandbox) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: confirmed(sandbox.run(JOB, LIMITS)), range(24)))
    assert 1 <= len(idle(sandbox)) <= 4


def test_a_forked_worker_does_not_share_the_lanes_of_its_parent(sandbox: BubblewrapSandbox) -> None:
    assert confirmed(sandbox.run(JOB, LIMITS))
    pid = os.fork()
    if pid == 0:
        own = confirmed(sandbox.run(JOB, LIMITS))
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert confirmed(sandbox.run(JOB, LIMITS))


def test_where_a_station_cannot_be_every_claim_gets_its_own_bubblewraps(tmp_path: Path) -> None:
    folder = Path(
        tempfile.mkdtemp(prefix="merge-reasoner-")
    )  # tmp_path is closed to the uid that root drops to
    try:
        folder.chmod(0o755)
        refusing = folder / "bwrap"
        real = bubblewrap_binaries()[0]
        refusing.write_text(f'#!/bin/sh\ncase "$*" in *CAP_SYS_ADMIN*) exit 1;; esac\nexec {real} "$@"\n')
        refusing.chmod(0o755)
        sandbox = BubblewrapSandbox(refusing)
        assert confirmed(sandbox.run(JOB, LIMITS))
        assert not sandbox.warm
        assert confirmed(sandbox.run(JOB, LIMITS))
    finally:
        shutil.rmtree(folder)
