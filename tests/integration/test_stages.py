"""Stages on real rows: claimed once, fenced, idempotent, and decided by the last verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from tests.integration.bench import Outbox, query, send
from verifiers.errors import SandboxUnavailableError
from verifiers.math.verifier import MathVerifier
from worker.embedders.shelf import LazyEmbedder
from worker.engines.pool import PoolEngine
from worker.engines.protocol import Capabilities, ChainRequest, Score, ScoreRequest
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.errors import EngineUnavailableError
from worker.judging.embedding import EmbeddingJudge
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate, generate_given
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.batches import cancel_batch, results
from worker.store.chains import Generated, save_generated
from worker.store.leases import claim_tasks, note_fault
from worker.store.transactions import Store

pytestmark = pytest.mark.services

PROMPT = "What is 1 + 1?"
CHAINS = [
    RecordedChain(text=rf"It is \boxed{{{answer}}}", logprob=-2.0, n_tokens=4)
    for answer in ("2", "2.0", "3", r"\frac{4}{2}", "2", "2", "2", "2")
]
MATH_LINE = {"custom_id": "m", "kind": "math", "prompt": PROMPT, "options": {"early_exit": "none"}}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture(scope="module")
def math() -> Iterator[MathVerifier]:
    verifier = MathVerifier()
    yield verifier
    verifier.close()


def age_leases(store: Store) -> None:
    """Let every lease run out, as if its worker had been dead for an hour."""
    for table in ("tasks", "verifications"):
        with store.begin() as connection:
            connection.execute(
                text(
                    f"UPDATE {table} SET lease_until = now() - interval '1 hour' WHERE lease_until IS NOT NULL"
                )
            )


def run_all(desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier) -> None:
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(math).judge)
    decide(desk, outbox.take(DECIDE))


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
        note_fault(store, [task.id for task in held], OverflowError("too many tokens"), holder=desk.holder)
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
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Away(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            raise EngineUnavailableError("no GPU today")

    send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    for _ in range(desk.settings.max_deliveries + 2):
        generate(desk, ids, engine=Away({}), pool=pool)
        query(store, "UPDATE tasks SET not_before = NULL RETURNING 1")
    (row,) = query(store, "SELECT state, deliveries, error ->> 'message' AS message FROM tasks")
    assert (row.state, row.deliveries, row.message) == ("generating", 0, "no GPU today")
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


def test_what_no_engine_can_honour_is_refused_at_submission_line_by_line(
    desk: Desk, outbox: Outbox, store: Store, tmp_path: Path
) -> None:
    endpoint = replace(desk, settings=replace(desk.settings, engine="openai", logprobs="never"))
    made = send(
        endpoint,
        MATH_LINE,
        {**MATH_LINE, "custom_id": "dear", "options": {"k": 40, "max_tokens": 300}},
        {**MATH_LINE, "custom_id": "long", "options": {"k": 1, "max_tokens": 4096}},
        {**MATH_LINE, "custom_id": "many", "mode": "spread"},
        tmp_path=tmp_path,
    )
    assert (made.n_tasks, made.n_rejected) == (1, 3)
    assert [(p.line, p.field, p.code, p.custom_id) for p in made.problems] == [
        (2, "options.token_budget", "over_budget", "dear"),
        (3, "options.max_tokens", "over_context", "long"),
        (4, "mode", "no_logprobs", "many"),
    ]
    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == 3


def test_a_pool_that_lost_a_model_says_so_in_the_decision(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Away(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            raise EngineUnavailableError("no GPU today")

    roster = {"models": {"big": {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:9"}}}
    file = desk.settings.state_dir.parent / "pool.json"
    file.write_text(json.dumps(roster))
    pooled = replace(desk, settings=replace(desk.settings, pool_file=file))
    options = {"models": ["default", "big"], "early_exit": "none", "equivalence": "exact"}
    made = send(pooled, {**MATH_LINE, "options": options})
    engine = PoolEngine({"default": lambda: ReplayEngine({PROMPT: CHAINS}), "big": lambda: Away({})})
    generate(pooled, outbox.take(GENERATE), engine=engine, pool=pool)
    decide(pooled, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert line["models"] == {"asked": ["default", "big"], "chains": {"recorded": 8}, "missing": ["big"]}
    engine.close()


def test_a_model_that_is_not_in_the_pool_is_refused_at_submission(desk: Desk, tmp_path: Path) -> None:
    lines = [MATH_LINE, {**MATH_LINE, "custom_id": "n", "options": {"models": ["gpt"]}}]
    made = send(desk, *lines, tmp_path=tmp_path)
    assert [(p.field, p.code) for p in made.problems] == [("options.models", "unknown_model")]


def test_a_request_that_the_engine_refuses_fails_the_task_with_the_reason(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    made = send(desk, {**MATH_LINE, "prompt": "never recorded"})
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["error"]["type"]) == ("failed", "RequestRefusedError")


def test_a_broken_verifier_is_tried_again_and_never_says_no(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
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


def given_line(*answers: str) -> dict[str, Any]:
    return {
        "custom_id": "e",
        "kind": "qa",
        "options": {"equivalence": "embedding", "cosine": 0.9},
        "chains": [{"text": "", "answer": answer} for answer in answers],
    }


class Compass:
    """An embedder of two dimensions; the real one has tests of its own."""

    name = "compass"
    revision = "1"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        points = {"north": (0.0, 1.0), "north by east": (0.2, 0.98), "east": (1.0, 0.0)}
        return np.array([points[text] for text in texts])


def test_cosines_are_asked_for_once_and_the_decision_reads_them_from_the_record(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    made = send(desk, given_line("North", "north by east", "east", "north"))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(
        desk,
        outbox.take(VERIFY["embedding"]),
        verifier="embedding",
        judge=EmbeddingJudge(Compass()).judge,
    )
    decide(desk, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["answer"], line["vote_margin"]) == ("answered", "North", 3 / 4)
    ((evidence, limits),) = query(store, "SELECT evidence, limits FROM verdicts")
    assert limits == {"cosine": 0.9}
    assert sorted(outcome for _, _, outcome, _ in evidence["pairs"]) == ["confirmed", "refuted", "refuted"]


def test_without_the_sentence_model_a_task_fails_and_says_how_to_get_it(
    desk: Desk, outbox: Outbox, store: Store, tmp_path: Path
) -> None:
    made = send(desk, given_line("north", "east"))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    ids = outbox.take(VERIFY["embedding"])
    for _ in range(desk.settings.max_deliveries):
        judge = EmbeddingJudge(LazyEmbedder(tmp_path / "no models")).judge
        verify(desk, ids, verifier="embedding", judge=judge)
        query(store, "UPDATE verifications SET not_before = NULL RETURNING 1")
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["error"]["type"]) == ("failed", "ModelUnavailableError")
    message = line["error"]["message"]
    assert "make embedding" in message or "models pull all-minilm-l6-v2" in message


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


def test_a_cancelled_batch_aborts_the_chains_under_way(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    begun = Event()

    class Slow(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            begun.set()
            return super().sample(task_id, requests)

    made = send(desk, MATH_LINE)
    engine = Slow({PROMPT: CHAINS}, latency_s=3600)  # nothing but an abort ends it within the test
    stage = pool.submit(generate, desk, outbox.take(GENERATE), engine=engine, pool=pool)
    begun.wait()
    cancel_batch(store, made.batch_id, tenant=desk.settings.tenant, who="test")
    stage.result(timeout=120)
    (row,) = query(store, "SELECT state, tokens_spent, (SELECT count(*) FROM chains) AS n FROM tasks")
    assert (row.state, row.tokens_spent, row.n) == ("cancelled", 0, 0)


def test_a_task_that_another_worker_took_over_is_not_sampled_on(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    begun = Event()

    class Slow(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            begun.set()
            return super().sample(task_id, requests)

    send(desk, MATH_LINE)
    engine = Slow({PROMPT: CHAINS}, latency_s=3600)
    stage = pool.submit(generate, desk, outbox.take(GENERATE), engine=engine, pool=pool)
    begun.wait()
    query(store, "UPDATE tasks SET attempt = attempt + 1, holder = 'heir' RETURNING 1")
    stage.result(timeout=120)
    assert query(store, "SELECT holder, state FROM tasks")[0] == ("heir", "generating")


def test_explanations_that_a_chain_lists_are_kept_with_their_scores_judged_and_decided(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    class Listing(ReplayEngine):
        """Lists roots, and scores a longer text lower."""

        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, structured=True, scores=True)

        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            return super().sample(task_id, [replace(request, json_schema=None) for request in requests])

        def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
            return [Score(logprob=-0.1 * len(request.text), n_tokens=1) for request in requests]

    texts = ('{"explanations": ["-3", "3", "9"]}', '{"explanations": ["3"]}', "It is 3.")
    chains = [RecordedChain(text=text, logprob=-9.0, n_tokens=3) for text in texts]
    spec = {"verifier": "math", "conditions": ["x^2 = 9"], "unknowns": ["x"]}
    made = send(
        desk,
        {**MATH_LINE, "mode": "spread", "options": {"k": 3, "early_exit": "none"}, "verify": [spec]},
    )
    generate(desk, outbox.take(GENERATE), engine=Listing({PROMPT: chains}), pool=pool)
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(math).judge)
    decide(desk, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert (line["answer"], [one["answer"] for one in line["alt_explanations"]]) == ("3", ["-3"])
    clusters = query(store, "SELECT document FROM decisions")[0].document["clusters"]
    found = {c["answer"]: (c["members"], c["outcome"]) for c in clusters}
    assert found == {"3": ([0, 1], "confirmed"), "-3": ([0], "confirmed"), "9": ([0], "refuted")}
    assert (line["n_chains"], line["n_answered"], line["tokens"]["spent"]) == (3, 2, 9)
    kept = query(store, "SELECT explanations FROM chains ORDER BY index")
    assert [[(e["answer"], e["by"]) for e in row.explanations] for row in kept] == [
        [("-3", "score"), ("3", "score"), ("9", "score")],
        [("3", "score")],
        [],
    ]
    assert kept[1].explanations[0]["logprob"] == pytest.approx(-0.1)
