"""What the metrics say after real stages on real rows."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from db.session import connect
from tests.integration.bench import Outbox, Rig, query, send
from verifiers.math.verifier import MathVerifier
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.parking import parking_lot
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.standing import QueueCollector
from worker.store.dead import parked_messages
from worker.store.leases import claim_verifications
from worker.store.transactions import Store
from worker.telemetry.metrics import stage_run

pytestmark = pytest.mark.services

LINE = {
    "custom_id": "m",
    "kind": "math",
    "prompt": "?",
    "chains": [{"text": f"{i}", "answer": f"{i}", "model": f"m{i}", "n_tokens": 3} for i in (1, 1, 2)],
    "verify": [{"verifier": "math", "reference": "1"}],
}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"merge_reasoner_{name}", labels) or 0.0


def shown(store: Store) -> str:
    registry = CollectorRegistry()
    registry.register(QueueCollector(store))
    return generate_latest(registry).decode()


def test_stages_count_what_they_wrote(desk: Desk, outbox: Outbox) -> None:
    counted = [
        ("chains_total", {"model": "given", "finish_reason": "stop"}, 3),
        ("tokens_total", {"model": "given"}, 9),
        ("verdicts_total", {"verifier": "math", "outcome": "confirmed"}, 2),
        ("verdicts_total", {"verifier": "math", "outcome": "refuted"}, 1),
        ("decisions_total", {"state": "answered"}, 1),
        ("task_seconds_count", {}, 1),
    ]
    before = [value(name, **labels) for name, labels, _ in counted]
    send(desk, LINE)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verifier = MathVerifier()
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(verifier).judge)
    verifier.close()
    decide(desk, outbox.take(DECIDE))
    grown = [value(name, **labels) - old for (name, labels, _), old in zip(counted, before, strict=True)]
    assert grown == [much for _, _, much in counted]


def test_the_queue_is_read_from_its_rows(desk: Desk, outbox: Outbox, store: Store) -> None:
    send(desk, LINE, {**LINE, "custom_id": "n"})
    text = shown(store)
    assert 'merge_reasoner_tasks_waiting{state="queued"} 2.0' in text
    assert "merge_reasoner_database_up 1.0" in text
    assert 'merge_reasoner_calibration_age_seconds{domain="",tenant="default"}' in text
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    query(store, "UPDATE verifications SET lease_until = now() - interval '1 s', deliveries = 2 RETURNING 1")
    text = shown(store)
    assert 'merge_reasoner_turns_waiting{verifier="math"} 2.0' in text
    assert 'merge_reasoner_turns_leases_lapsed{verifier="math"} 2.0' in text
    assert 'merge_reasoner_turns_redelivered{verifier="math"} 2.0' in text


def test_faults_are_counted_when_they_are_found(rig: Rig) -> None:
    def counted() -> list[float]:
        names = [("leases_expired_total", GENERATE_GIVEN), ("redeliveries_total", GENERATE_GIVEN)]
        names += [("leases_expired_total", VERIFY["math"]), ("redeliveries_total", VERIFY["math"])]
        return [value(name, queue=queue) for name, queue in names] + [value("dead_letters_total")]

    before = counted()
    rig.submit(LINE)
    rig.sweep()
    for _ in range(2):  # the worker dies, and dies again
        taken = rig.take(GENERATE_GIVEN)
        rig.desk.claim(
            taken, queue=GENERATE_GIVEN, from_states=["queued", "generating"], to_state="generating"
        )
        rig.age(column="lease_until", hours=1)
        rig.age()
        rig.age()
        rig.sweep()
        rig.sweep()  # what was found once is not found again
    generate_given(rig.desk, rig.take(GENERATE_GIVEN))
    for _ in range(rig.desk.settings.max_deliveries):
        claim_verifications(
            rig.store, rig.take(VERIFY["math"]), verifier="math", holder="h", lease_s=1, max_deliveries=3
        )
        rig.age("verifications", "lease_until", hours=1)
        rig.age("verifications")
        rig.age("verifications")
        rig.sweep()
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [2, 2, 2, 0, 1]


def test_every_message_that_is_parked_is_counted_and_a_strangers_word_is_no_label(rig: Rig) -> None:
    park = parking_lot(rig.store, who="test")
    before = [value("messages_parked_total", queue=queue) for queue in (DECIDE, "", "stranger")]
    for queue in (DECIDE, "", "stranger"):
        park(queue, {"v": 99}, "unknown stage")
    grown = [value("messages_parked_total", queue=queue) for queue in (DECIDE, "", "stranger")]
    assert [new - old for new, old in zip(grown, before, strict=True)] == [1, 2, 0]
    assert len(parked_messages(rig.store, n=10)) == 3


def test_without_its_database_the_collector_says_so_and_goes_on(settings: Settings) -> None:
    assert settings.database_url is not None
    gone = connect(settings.database_url.replace("/test_", "/no_such_"))
    assert "merge_reasoner_database_up 0.0" in shown(gone)
    gone.dispose()


def test_a_stage_that_fails_is_counted_by_its_error() -> None:
    before = value("stage_failures_total", queue="decide", error="KeyError")
    n_runs = value("stage_seconds_count", queue="decide")
    with pytest.raises(KeyError), stage_run("decide"):
        raise KeyError
    assert value("stage_failures_total", queue="decide", error="KeyError") == before + 1
    assert value("stage_seconds_count", queue="decide") == n_runs + 1
    assert value("stages_running", queue="decide") == 0
