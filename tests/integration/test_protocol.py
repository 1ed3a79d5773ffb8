"""The protocol of leases, fences and the reconciler, against every order of events that hypothesis can think of.

The real statements on a real Postgres; the broker and the workers are the test's, so that messages are lost,
doubled and late, workers die at any point, and those that were thought dead come back and write.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from benchmarks.soak.audit import LEGAL
from reasoner.outcomes import Outcome
from tests.integration.bench import cancel_half
from verifiers.verdicts import Verdict
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.sampling import given_chains
from worker.stages.decide import decide
from worker.store.chains import Generated, save_generated
from worker.store.dead import retry
from worker.store.ending import cancel_batch
from worker.store.leases import HeldTask, claim_verifications, let_go
from worker.store.traffic import pause, resume
from worker.store.verdicts import Judged, save_verified

pytestmark = pytest.mark.services

QUEUES = (GENERATE_GIVEN, VERIFY["math"], VERIFY["embedding"], DECIDE)
VERIFIERS = ("embedding", "math")
LINE = {"kind": "math", "chains": [{"text": "4"}, {"text": "5"}], "options": {"equivalence": "exact"}}
MAX_DELIVERIES = 4
picks = st.integers(0, 10**6)


class Protocol(RuleBasedStateMachine):
    """Workers hold what they claimed until a rule lets them write, if ever."""

    rig: Any

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, list[UUID]]] = []
        self.holding: list[tuple[str, HeldTask]] = []
        self.n_batches = 0

    @initialize()
    def empty(self) -> None:
        for table in (
            "decisions",
            "verdicts",
            "chains",
            "verifications",
            "task_events",
            "labels",
            "tasks",
            "batches",
        ):
            self.rig.query(f"DELETE FROM {table}")
        self.rig.query("DELETE FROM queues")
        self.rig.queues.clear()
        self.rig.set(max_deliveries=MAX_DELIVERIES)
        self.submit(2)

    @rule(n=st.integers(1, 3))
    @precondition(lambda self: self.n_batches < 3)
    def submit(self, n: int) -> None:
        self.n_batches += 1
        self.rig.submit(*({**LINE, "custom_id": str(i)} for i in range(n)), key=str(self.n_batches))

    @rule()
    def sweep(self) -> None:
        self.rig.sweep()
        for queue in list(self.rig.queues):
            self.messages += [(queue, [task_id]) for task_id in self.rig.take(queue)]

    @rule(pick=picks, how=st.sampled_from(["take", "take", "take", "double", "lose"]))
    @precondition(lambda self: self.messages)
    def deliver(self, pick: int, how: str) -> None:
        at = pick % len(self.messages)
        queue, ids = self.messages[at] if how == "double" else self.messages.pop(at)
        if how != "lose":
            self.claim(queue, ids)

    def claim(self, queue: str, ids: list[UUID]) -> None:
        desk = self.rig.desk
        if queue == DECIDE:
            decide(desk, ids)  # claims and writes; its fence is the same as generation's
        elif queue == GENERATE_GIVEN:
            held = desk.claim(ids, queue=queue, from_states=["queued", "generating"], to_state="generating")
            self.holding += [(queue, task) for task in held]
        else:
            verifier = queue.removeprefix("verify.")
            turns = claim_verifications(
                desk.store, ids, verifier=verifier, holder="w", lease_s=60, max_deliveries=MAX_DELIVERIES
            )
            self.holding += [(queue, task) for task in turns]

    @rule(pick=picks, again=st.booleans())
    @precondition(lambda self: self.holding)
    def write(self, pick: int, *, again: bool) -> None:
        """A worker writes what it made; one whose lease ran out long ago may, too, and one may write twice."""
        at = pick % len(self.holding)
        queue, task = self.holding[at] if again else self.holding.pop(at)
        if queue == GENERATE_GIVEN:
            made = Generated(task=task, chains=given_chains(task.line), verifiers=VERIFIERS)
            (row,) = self.rig.query("SELECT attempt FROM tasks WHERE id = :id", id=task.id)
            moved = save_generated(self.rig.store, [made], who="w")
            assert not moved or row.attempt == task.attempt  # an older claim is refused
        else:
            verdict = Verdict(
                verifier=queue.removeprefix("verify."),
                version="1",
                outcome=Outcome.CONFIRMED,
                reason="",
                elapsed_s=0.0,
            )
            judged = [Judged(candidate="answer:0", claim={"answer": ""}, verdict=verdict)]
            turn = "SELECT attempt, done FROM verifications WHERE task_id = :id AND verifier = :verifier"
            before = self.rig.query(turn, id=task.id, verifier=verdict.verifier)
            save_verified(self.rig.store, [(task, judged)], verifier=verdict.verifier, who="w")
            if before and before[0].attempt != task.attempt:
                assert self.rig.query(turn, id=task.id, verifier=verdict.verifier) == before

    @rule(pick=picks)
    @precondition(lambda self: self.holding)
    def die(self, pick: int) -> None:
        self.holding.pop(pick % len(self.holding))

    @rule(pick=picks)
    @precondition(lambda self: self.holding)
    def stop_softly(self, pick: int) -> None:
        """A worker gives back what it holds, and a thread of it may still try to write."""
        queue, task = self.holding[pick % len(self.holding)]
        verifier = None if queue == GENERATE_GIVEN else queue.removeprefix("verify.")
        let_go(self.rig.store, [(task.id, task.attempt)], verifier=verifier, who="w")

    @rule()
    def time_passes(self) -> None:
        """Every lease runs out, and every message that was sent counts as lost."""
        for table in ("tasks", "verifications"):
            self.rig.age(table, "lease_until")
            self.rig.age(table, "published_at", hours=1)

    @rule()
    def successors_take_over(self) -> None:
        """Everybody is thought dead, and lives: each task has two workers that want to write."""
        self.time_passes()
        self.sweep()
        messages, self.messages = self.messages, []
        for queue, ids in messages:
            self.claim(queue, ids)

    @rule(
        what=st.sampled_from(["flush", "pause", "resume", "resume", "retry", "cancel", "cancel half"]),
        pick=picks,
    )
    def operate(self, what: str, pick: int) -> None:
        store, queue = self.rig.store, QUEUES[pick % len(QUEUES)]
        if what == "flush":
            self.messages.clear()
            self.rig.runs += 1
        elif what == "pause":
            pause(store, queue, who="t", why="")
        elif what == "resume":
            resume(store, queue)
        elif what == "retry":
            retry(store, tenant="default", who="t")
        else:
            batches = self.rig.query("SELECT id FROM batches ORDER BY id")
            one = batches[pick % len(batches)].id
            if what == "cancel":
                cancel_batch(store, one, tenant="default", who="t")
            else:
                cancel_half(store, one)

    @invariant()
    def rows_are_sound(self) -> None:
        at: dict[UUID, str | None] = {}
        for row in self.rig.query(
            "SELECT task_id, from_state, to_state FROM task_events ORDER BY task_id, id"
        ):
            assert row.from_state == at.get(row.task_id)
            assert row.from_state is None or row.to_state in LEGAL.get(
                row.from_state, {"queued", "verifying", "deciding"}
            )
            at[row.task_id] = row.to_state
        facts = """
            SELECT t.id, t.state, (SELECT count(*) FROM chains WHERE task_id = t.id) AS n_chains,
                   (SELECT count(*) FROM verdicts WHERE task_id = t.id) AS n_verdicts,
                   (SELECT count(*) FROM decisions WHERE task_id = t.id) AS n_decisions
            FROM tasks t
        """
        for row in self.rig.query(facts):
            assert at[row.id] == row.state
            assert row.n_decisions == (row.state in {"answered", "abstained"})
            if row.state in {"deciding", "answered", "abstained"}:
                assert (row.n_chains, row.n_verdicts) == (2, 2)

    def teardown(self) -> None:
        """Whatever happened, it all ends once workers live and messages arrive."""
        if self.n_batches == 0:
            return
        for queue in QUEUES:
            resume(self.rig.store, queue)
        for _ in range(12 * MAX_DELIVERIES):
            self.time_passes()
            self.sweep()
            messages, self.messages = self.messages, []
            for queue, ids in messages:
                self.claim(queue, ids)
            while self.holding:
                self.write(0, again=False)
        unfinished = self.rig.query("SELECT id, state FROM tasks WHERE finished_at IS NULL")
        assert unfinished == []
        self.rows_are_sound()


def test_no_order_of_events_loses_or_doubles_anything(rig: Any) -> None:
    class OnThisRig(Protocol):
        pass

    OnThisRig.rig = rig
    run_state_machine_as_test(
        OnThisRig,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            derandomize=False,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            database=None,
        ),
    )
