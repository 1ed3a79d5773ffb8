"""Leases are renewed whatever happens to the database or to those who are told of a lost one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks.waiting import until
from tests.integration.bench import read_only, was_refused
from worker.checks import check_database
from worker.messages import GENERATE_GIVEN, VERIFY
from worker.settings import Settings
from worker.stages.desk import patiently
from worker.stages.generate import generate_given
from worker.store.leases import HeldTask, claim_verifications, release

pytestmark = pytest.mark.services
LINE = {"kind": "math", "chains": [{"text": "4"}], "options": {"equivalence": "exact"}}


TASKS_LEASE = "SELECT lease_until FROM tasks WHERE id = :id"


@pytest.fixture
def held(rig: Any) -> list[HeldTask]:
    rig.submit(*({**LINE, "custom_id": str(i)} for i in range(2)))
    rig.sweep()
    found = rig.desk.claim(
        rig.take(GENERATE_GIVEN), queue=GENERATE_GIVEN, from_states=["queued"], to_state="generating"
    )
    assert len(found) == 2
    return list(found)


def is_renewed(rig: Any, task: HeldTask, lease: str = TASKS_LEASE) -> Callable[[], bool]:
    """Return whether the lease of ``task`` has been moved on since."""
    ((before,),) = rig.query(lease, id=task.id)
    return lambda: rig.query(lease, id=task.id)[0][0] > before


def test_a_database_that_is_read_only_for_a_while_ends_no_keeper_and_loses_no_stage(
    rig: Any, settings: Settings, held: list[HeldTask], caplog: pytest.LogCaptureFixture
) -> None:
    def give_back() -> None:
        error = RuntimeError("engine")
        release(rig.store, held[1:], error, state="generating", counts=False, delay_s=1)

    with rig.desk.keeper.holding(held[:1]), ThreadPoolExecutor(1) as stage:
        with read_only(settings):
            until(lambda: "takes no writes" in check_database(rig.store), "health says so")
            giving_back = stage.submit(partial(patiently, give_back))
            for logger in ("worker.keeper", "worker.stages.desk"):
                until(partial(was_refused, caplog, logger), f"{logger} is refused")
        until(is_renewed(rig, held[0]), "it renews again")
        giving_back.result(timeout=200)
    assert rig.desk.keeper.fault() == ""
    assert check_database(rig.store) == ""


def test_a_stage_that_breaks_when_it_is_told_of_a_lost_lease_takes_no_other_with_it(
    rig: Any, held: list[HeldTask]
) -> None:
    told = list[object]()

    def breaks(task_id: object) -> None:
        told.append(task_id)
        raise ZeroDivisionError

    with rig.desk.keeper.holding(held[:1], on_lost=breaks), rig.desk.keeper.holding(held[1:]):
        rig.query("UPDATE tasks SET attempt = attempt + 1 WHERE id = :id", id=held[0].id)
        until(lambda: told, "it is told")
        until(is_renewed(rig, held[1]), "the other is kept")
    assert rig.desk.keeper.fault() == ""


@pytest.mark.parametrize("verifier", [None, "math"])
def test_a_lease_that_somebody_is_writing_holds_up_no_other(rig: Any, verifier: str | None) -> None:
    asked = {} if verifier is None else {"verify": [{"verifier": verifier, "reference": "4"}]}
    rig.submit(*({**LINE, **asked, "custom_id": str(i)} for i in range(2)))
    rig.sweep()
    ids = rig.take(GENERATE_GIVEN)
    if verifier is None:
        first, second = rig.desk.claim(
            ids, queue=GENERATE_GIVEN, from_states=["queued"], to_state="generating"
        )
    else:
        generate_given(rig.desk, ids)
        first, second = claim_verifications(
            rig.store,
            rig.take(VERIFY[verifier]),
            verifier=verifier,
            holder="test",
            lease_s=2.0,
            max_deliveries=3,
        )
    lost = list[object]()
    key, table = ("id", "tasks") if verifier is None else ("task_id", "verifications")
    lease = f"SELECT lease_until FROM {table} WHERE {key} = :id"
    with rig.desk.keeper.holding([first, second], verifier=verifier, on_lost=lost.append):
        with rig.store.begin() as cancelling:  # which holds the locks of a page
            cancelling.execute(text(f"SELECT 1 FROM {table} WHERE {key} = :id FOR UPDATE"), {"id": first.id})
            for _ in range(2):
                until(is_renewed(rig, second, lease), "the other is kept")
        until(is_renewed(rig, first, lease), "and so is this")
    assert lost == []


def test_a_process_that_cannot_give_back_what_it_holds_ends_all_the_same() -> None:
    program = """
import time
from worker.stopping import Haste, Stopping

def let_go():
    raise ZeroDivisionError

Stopping(soft_s=0.1, begin=lambda: None, let_go=let_go).hurry(Haste.SOFT)
time.sleep(30)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1
