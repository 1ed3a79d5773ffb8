"""Batches that end early, by a deadline or a command, and what of them is done again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.bench import cancel_half
from tests.integration.traffic import LINE, QUEUE, lines, nothing
from verifiers.errors import SandboxUnavailableError
from worker.messages import DECIDE, VERIFY
from worker.stages.decide import decide
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.store.batches import get_batch
from worker.store.dead import retry, set_deadline
from worker.store.ending import cancel_batch

pytestmark = pytest.mark.services


def test_what_is_unfinished_at_the_deadline_fails_and_says_so(rig: Any) -> None:
    made = rig.submit(*lines(4), deadline=datetime.now(UTC) + timedelta(hours=1))
    rig.sweep()
    first, *rest = rig.take(QUEUE)
    generate_given(rig.desk, [first])
    decide(rig.desk, rig.take(DECIDE))
    held = rig.desk.claim(rest[:1], queue=QUEUE, from_states=["queued"], to_state="generating")
    rig.age("batches", "deadline_at")
    rig.sweep()
    batch = get_batch(rig.store, made.batch_id, tenant="default")
    assert batch is not None
    assert (batch.states, batch.n_expired, batch.is_finished) == ({"answered": 1, "failed": 3}, 3, True)
    errors = rig.query("SELECT error FROM tasks WHERE state = 'failed' ORDER BY id")
    assert {row.error["type"] for row in errors} == {"DeadlinePassed"}
    assert "while the task was generating" in errors[0].error["message"]
    generate_given(rig.desk, [task.id for task in held])  # who is still at it is refused
    assert rig.sweep() == 0
    assert rig.states() == {"answered": 1, "failed": 3}


def test_a_retried_task_goes_on_where_it_failed_and_pays_for_nothing_twice(rig: Any) -> None:
    def broken(line: object, said: object, *, tenant: str) -> Any:
        raise SandboxUnavailableError("no sandbox today")

    made = rig.submit({**LINE, "custom_id": "v", "verify": [{"verifier": "math", "reference": "4"}]})
    rig.sweep()
    generate_given(rig.desk, rig.take(QUEUE))
    queue = VERIFY["math"]
    for _ in range(2):
        ids = [row.id for row in rig.query("SELECT id FROM tasks")]
        for _ in range(rig.desk.settings.max_deliveries):
            verify(rig.desk, ids, verifier="math", judge=broken)
            rig.query("UPDATE verifications SET not_before = NULL")
        assert rig.states() == {"failed": 1}
        assert retry(rig.store, tenant="somebody else", who="test", batch_id=made.batch_id) == []
        assert retry(rig.store, tenant="default", who="test", batch_id=made.batch_id) == ids
        assert rig.states() == {"verifying": 1}  # and has all its deliveries again
    rig.queues.clear()
    assert rig.sweep() == 1
    verify(rig.desk, rig.take(queue), verifier="math", judge=nothing)
    decide(rig.desk, rig.take(DECIDE))
    assert rig.states() == {"answered": 1}
    path = [row.to_state for row in rig.query("SELECT to_state FROM task_events ORDER BY id")]
    again = ["failed", "verifying"]
    assert path == ["queued", "generating", "verifying", *again, *again, "deciding", "answered"]
    assert rig.query("SELECT count(*) FROM chains")[0][0] == 3


def test_every_batch_whose_deadline_passed_ends_in_the_next_sweep_and_none_of_it_is_begun_before(
    rig: Any,
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    for n in range(30):
        rig.submit(*lines(1), key=str(n), deadline=soon)
    in_time = rig.submit(*lines(1), key="in time")
    rig.sweep()
    published = rig.take(QUEUE)
    rig.age("batches", "deadline_at")
    held = rig.desk.claim(published, queue=QUEUE, from_states=["queued"], to_state="generating")
    assert [row.batch_id for row in rig.query("SELECT batch_id FROM tasks WHERE state = 'generating'")] == [
        in_time.batch_id
    ]
    assert len(held) == 1
    rig.sweep()
    assert rig.states() == {"failed": 30, "generating": 1}
    assert rig.query("SELECT count(*) FROM batches WHERE expired_at IS NOT NULL")[0][0] == 30


def test_a_late_batch_that_is_large_ends_in_pages(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.store.ending.PAGE", 4)
    made = rig.submit(*lines(10), deadline=datetime.now(UTC) - timedelta(hours=1))
    for left in (6, 2, 0):
        rig.sweep()
        assert rig.states().get("queued", 0) == left
    batch = get_batch(rig.store, made.batch_id, tenant="default")
    assert batch is not None
    assert (batch.states, batch.n_expired) == ({"failed": 10}, 10)
    assert rig.query("SELECT count(*) FROM batches WHERE expired_at IS NOT NULL")[0][0] == 1


def test_a_batch_is_cancelled_in_pages(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.store.ending.PAGE", 4)
    made = rig.submit(*lines(12))
    assert cancel_batch(rig.store, made.batch_id, tenant="default", who="test") == 12
    assert cancel_batch(rig.store, made.batch_id, tenant="default", who="test") == 0
    assert rig.states() == {"cancelled": 12}
    events = rig.query("SELECT from_state, to_state, count(*) FROM task_events GROUP BY 1, 2 ORDER BY 1")
    assert [tuple(row) for row in events] == [("queued", "cancelled", 12), (None, "queued", 12)]


@pytest.mark.parametrize("finisher", ["reconciler", "command"])
def test_a_canceller_that_dies_half_way_leaves_nothing_that_is_begun_and_somebody_ends_the_rest(
    rig: Any, finisher: str
) -> None:
    made = rig.submit(*lines(6))
    rig.sweep()
    published = rig.take(QUEUE)
    generate_given(rig.desk, published[:2])
    turns = rig.take(DECIDE)
    cancel_half(rig.store, made.batch_id)
    generate_given(rig.desk, published[2:])
    decide(rig.desk, turns)
    assert rig.states() == {"cancelled": 1, "deciding": 1, "queued": 4}
    assert retry(rig.store, tenant="default", who="test") == []
    if finisher == "reconciler":
        rig.sweep()
    else:
        assert cancel_batch(rig.store, made.batch_id, tenant="default", who="test") == 5
    assert rig.states() == {"cancelled": 6}
    assert rig.query("SELECT count(*) FROM batches WHERE expired_at IS NULL")[0][0] == 0


def test_a_cancelled_or_expired_batch_is_not_retried_but_with_a_new_deadline(rig: Any) -> None:
    cancelled = rig.submit(*lines(1), key="cancelled")
    cancel_batch(rig.store, cancelled.batch_id, tenant="default", who="test")
    expired = rig.submit(*lines(2), key="expired", deadline=datetime.now(UTC) - timedelta(hours=1))
    rig.sweep()
    assert rig.states() == {"cancelled": 1, "failed": 2}
    assert retry(rig.store, tenant="default", who="test") == []
    set_deadline(rig.store, expired.batch_id, datetime.now(UTC) + timedelta(hours=1), tenant="default")
    assert len(retry(rig.store, tenant="default", who="test", batch_id=expired.batch_id)) == 2
    assert rig.sweep() == 2
    rig.age("batches", "deadline_at")  # and passes again
    rig.sweep()
    assert rig.states() == {"cancelled": 1, "failed": 2}
