"""The generate stage against an endpoint that misbehaves: what is counted, what waits, and what is not paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.integration.bench import Outbox, query, send
from tests.integration.endpoint import RAW, Endpoint, Reply, served
from tests.integration.stages import CHAINS, MATH_LINE, PROMPT
from worker.engines.openai_compatible import OpenAIEngine
from worker.engines.protocol import ChainRequest
from worker.engines.replay import ReplayEngine
from worker.errors import EngineUnavailableError
from worker.messages import GENERATE
from worker.stages.desk import Desk
from worker.stages.generate import generate
from worker.stages.reconcile import reconcile
from worker.stages.unfinished import Unfinished
from worker.store.leases import LONGEST_BACKOFF_S, backoff_s
from worker.store.transactions import Store

pytestmark = pytest.mark.services

ROW = """SELECT state, deliveries, attempt, tokens_spent, error ->> 'message' AS message,
                extract(epoch FROM not_before - now())::float8 AS waits_s,
                (SELECT count(*) FROM chains WHERE task_id = tasks.id) AS n_chains FROM tasks ORDER BY id"""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as server:
        yield server


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(base_url=endpoint.url, model="m", concurrency=3, max_retries=1)
    yield engine
    engine.close()


def again(store: Store) -> None:
    """Let nothing wait any longer."""
    query(store, "UPDATE tasks SET not_before = NULL RETURNING 1")


def third_of_the_seeds(reply: Reply) -> Any:
    """Say ``reply`` to the third seed that asks, and to nobody else."""
    seeds: list[int] = []

    def said(body: dict[str, Any]) -> Reply | None:
        if body["seed"] not in seeds:
            seeds.append(body["seed"])
        return reply if seeds.index(body["seed"]) == 2 else None

    return said


def test_an_answer_that_cannot_be_read_is_counted_and_its_neighbours_are_paid_once(
    *,
    desk: Desk,
    outbox: Outbox,
    pool: ThreadPoolExecutor,
    store: Store,
    endpoint: Endpoint,
    engine: OpenAIEngine,
) -> None:
    endpoint.reply = third_of_the_seeds((200, '{"choices": [', {}))
    send(desk, MATH_LINE)
    ids, unfinished = outbox.take(GENERATE), Unfinished()
    for delivery in range(desk.settings.max_deliveries):
        generate(desk, ids, engine=engine, pool=pool, unfinished=unfinished)
        (row,) = query(store, ROW)
        assert (row.state, row.deliveries) == ("generating", delivery + 1)
        again(store)
    reconcile(desk, outbox)
    (row,) = query(store, ROW)
    assert row.state == "failed"
    assert "no chat completion" in row.message
    assert len(endpoint.bodies) <= 8 + desk.settings.max_deliveries - 1


def test_a_character_that_was_cut_in_two_costs_nothing(
    *,
    desk: Desk,
    outbox: Outbox,
    pool: ThreadPoolExecutor,
    store: Store,
    endpoint: Endpoint,
    engine: OpenAIEngine,
) -> None:
    endpoint.reply = third_of_the_seeds((200, RAW["half an emoji"], {}))
    send(desk, MATH_LINE)
    generate(desk, outbox.take(GENERATE), engine=engine, pool=pool)
    (row,) = query(store, ROW)
    assert (row.n_chains, row.message, len(endpoint.bodies)) == (8, None, 8)


def test_a_task_that_loses_its_engine_goes_on_with_the_chains_that_it_has(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Interrupted(ReplayEngine):
        asked: list[int] = []  # noqa: RUF012 - of this test alone

        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            self.asked += [request.index for request in requests]
            for n, chain in enumerate(super().sample(task_id, requests)):
                if n == 3:
                    raise EngineUnavailableError("gone", retry_after_s=600.0)
                yield chain

    send(desk, MATH_LINE)
    ids, unfinished, engine = outbox.take(GENERATE), Unfinished(), Interrupted({PROMPT: CHAINS})
    generate(desk, ids, engine=engine, pool=pool, unfinished=unfinished)
    (row,) = query(store, ROW)
    assert (row.state, row.deliveries, row.n_chains) == ("generating", 0, 0)
    assert 500.0 < row.waits_s <= 600.0
    for _ in range(2):
        again(store)
        generate(desk, ids, engine=engine, pool=pool, unfinished=unfinished)
    (row,) = query(store, ROW)
    assert (row.n_chains, row.tokens_spent) == (8, 32)
    assert engine.asked == [*range(8), *range(3, 8), *range(6, 8)]
    assert [text for (text,) in query(store, "SELECT text FROM chains ORDER BY index")] == [
        chain.text for chain in CHAINS
    ]


def test_an_endpoint_that_said_when_to_come_back_is_not_asked_before(
    *,
    desk: Desk,
    outbox: Outbox,
    pool: ThreadPoolExecutor,
    store: Store,
    endpoint: Endpoint,
    engine: OpenAIEngine,
) -> None:
    endpoint.reply = lambda _: (429, {"error": {"message": "later"}}, {"Retry-After": "1800"})
    send(desk, *({**MATH_LINE, "custom_id": str(number)} for number in range(8)))
    ids = outbox.take(GENERATE)
    generate(desk, ids, engine=engine, pool=pool)
    n_asked = len(endpoint.bodies)
    assert n_asked <= 3
    rows = query(store, ROW)
    assert all(1700.0 < row.waits_s <= 1800.0 and row.deliveries == 0 for row in rows)
    again(store)
    generate(desk, ids, engine=engine, pool=pool)
    assert len(endpoint.bodies) == n_asked


def test_a_task_waits_longer_for_its_engine_each_time(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Away(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            raise EngineUnavailableError("no GPU today")

    send(desk, MATH_LINE)
    ids = outbox.take(GENERATE)
    for longest_s in (2.0, 4.0, 8.0):
        generate(desk, ids, engine=Away({}), pool=pool)
        (row,) = query(store, ROW)
        assert longest_s / 2 < row.waits_s <= longest_s
        again(store)
    assert [backoff_s(n) for n in (0, 1, 2, 6, 100_000)] == [
        2.0,
        2.0,
        4.0,
        LONGEST_BACKOFF_S,
        LONGEST_BACKOFF_S,
    ]


class Odd(ReplayEngine):
    """Breaks over one task of several, in its own way."""

    def __init__(self, how: str) -> None:
        super().__init__({PROMPT: CHAINS, "odd": CHAINS})
        self._how = how

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
        is_odd = requests[0].messages[-1].content == "odd"
        for chain in super().sample(task_id, requests):
            if not is_odd:
                yield chain
            elif self._how == "raises":
                raise TypeError("unhashable type: 'list'")
            else:
                yield replace(chain, n_tokens=2**33)


@pytest.mark.parametrize(
    ("how", "complaint"), [("raises", "unhashable"), ("is beyond the column", "out of range")]
)
def test_what_breaks_over_one_task_costs_the_others_of_its_message_nothing(
    *, desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store, how: str, complaint: str
) -> None:
    send(desk, MATH_LINE, {**MATH_LINE, "custom_id": "n", "prompt": "odd"}, {**MATH_LINE, "custom_id": "o"})
    generate(desk, outbox.take(GENERATE), engine=Odd(how), pool=pool)
    first, odd, last = query(store, ROW)
    assert (first.state, first.n_chains, last.state, last.n_chains) == ("verifying", 8, "verifying", 8)
    assert (odd.state, odd.deliveries, odd.n_chains) == ("generating", 1, 0)
    assert complaint in odd.message


def test_a_revision_that_postgres_cannot_keep_is_kept_otherwise(
    *,
    desk: Desk,
    outbox: Outbox,
    pool: ThreadPoolExecutor,
    store: Store,
    endpoint: Endpoint,
    engine: OpenAIEngine,
) -> None:
    body = RAW["odd fingerprint"].replace(b"17", b'"a\\u0000b"')
    endpoint.reply = lambda _: (200, body, {})
    send(desk, MATH_LINE)
    generate(desk, outbox.take(GENERATE), engine=engine, pool=pool)
    assert {row.revision for row in query(store, "SELECT revision FROM chains")} == {"a\ufffdb"}


def test_of_too_many_unfinished_tasks_the_oldest_are_forgotten() -> None:
    unfinished, (first, second, third) = Unfinished(most=5), [UUID(int=n) for n in range(3)]
    request = partial(ChainRequest, messages=(), seed=0, temperature=0.0, max_tokens=1)
    chains: dict[ChainRequest, Any] = {request(index=i): i for i in range(2)}
    for task in (first, second, third):
        unfinished.keep(task, dict(chains))
    unfinished.keep(third, dict(chains))
    assert [len(unfinished.take(task)) for task in (first, second, third, third)] == [0, 2, 2, 0]
