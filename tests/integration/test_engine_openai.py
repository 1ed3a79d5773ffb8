"""The engine for OpenAI-compatible endpoints, against a real HTTP server on loopback that misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.endpoint import CONCURRENCY, Endpoint, chain_request, served
from worker.engines.cancellation import Cancellation
from worker.engines.openai_compatible import OpenAIEngine
from worker.engines.protocol import FinishReason, Token
from worker.errors import (
    EngineFaultError,
    EngineUnavailableError,
    PromptTooLongError,
    RequestRefusedError,
    SamplingCancelledError,
)
from worker.explanations import SCHEMA


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as server:
        yield server


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(
        base_url=endpoint.url, model="asked", api_key="sekret", concurrency=CONCURRENCY, max_retries=2
    )
    yield engine
    engine.close()


def test_a_request_says_all_that_was_asked_for(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    list(engine.sample("t", [chain_request("hi", stop=("END",))]))
    assert endpoint.bodies == [
        {
            "model": "asked",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "seed": 7,
            "temperature": 0.6,
            "max_tokens": 32,
            "stop": ["END"],
            "logprobs": True,
        }
    ]
    assert endpoint.keys == {"Bearer sekret"}


def test_a_chain_carries_what_the_endpoint_told(engine: OpenAIEngine) -> None:
    chain = next(engine.sample("t", [chain_request("hi", index=4)]))
    assert (chain.index, chain.text, chain.logprob, chain.n_tokens) == (4, "seed 7", -0.75, 2)
    assert (chain.model, chain.revision, chain.finish_reason) == ("asked", "fp", FinishReason.STOP)


def test_without_logprobs_the_sum_is_unknown(engine: OpenAIEngine) -> None:
    chain = next(engine.sample("t", [chain_request("ignores logprobs")]))
    assert (chain.logprob, chain.n_tokens) == (None, 3)
    assert engine.capabilities.logprobs


def test_a_model_that_refuses_logprobs_is_not_asked_for_them_again(
    engine: OpenAIEngine, endpoint: Endpoint
) -> None:
    chain = next(engine.sample("t", [chain_request("no logprobs here")]))
    assert chain.logprob is None
    assert not engine.capabilities.logprobs
    list(engine.sample("t", [chain_request("hi")]))
    assert "logprobs" not in endpoint.bodies[-1]


@pytest.mark.parametrize(
    ("prompt", "reason", "text"),
    [("cut off", FinishReason.LENGTH, "seed 7"), ("filtered", FinishReason.ERROR, "")],
)
def test_how_a_chain_ended_is_told(
    engine: OpenAIEngine, prompt: str, reason: FinishReason, text: str
) -> None:
    chain = next(engine.sample("t", [chain_request(prompt)]))
    assert (chain.finish_reason, chain.text) == (reason, text)


@pytest.mark.parametrize("prompt", ["busy once", "broken once", "hangs up once"])
def test_what_fails_on_the_way_is_repeated(engine: OpenAIEngine, endpoint: Endpoint, prompt: str) -> None:
    assert next(engine.sample("t", [chain_request(prompt)])).text == "seed 7"
    assert len(endpoint.asked_at[prompt]) == 2


def test_the_pause_that_the_endpoint_asks_for_is_kept(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    list(engine.sample("t", [chain_request("busy once")]))
    first, second = endpoint.asked_at["busy once"]
    assert second - first >= 1.0


@pytest.mark.parametrize(
    ("prompt", "error", "complaint"),
    [
        ("always broken", EngineFaultError, "answers 500.*out of memory, though it answers another request"),
        ("broken upstream", EngineFaultError, "answers 502: upstream down"),
        ("malformed", EngineFaultError, "no chat completion"),
        ("not a completion", EngineFaultError, "choices"),
        ("html", EngineFaultError, "no chat completion"),
        ("an error inside", EngineFaultError, "quota exceeded"),
        ("no choices", EngineFaultError, "choices"),
        ("deep", EngineFaultError, "no chat completion"),
        ("a number as content", EngineFaultError, "content"),
        ("nothing", EngineFaultError, "no chat completion"),
        ("too many tokens", EngineFaultError, "wrote 8589934592 tokens where 32 were allowed"),
        ("a prompt too long", PromptTooLongError, "4090 tokens; with 32.*MERGEREASONER_CONTEXT_TOKENS"),
        ("not paid", EngineUnavailableError, "answers 402: Insufficient Balance"),
        ("no quota", EngineUnavailableError, "pay first"),
        ("odd type", RequestRefusedError, "answers 400: no"),
        ("too long for vLLM", PromptTooLongError, "maximum context length"),
        ("no such key", EngineUnavailableError, "answers 401"),
        ("too long", PromptTooLongError, "too many tokens"),
        ("refused", RequestRefusedError, "temperature must be 1"),
    ],
)
def test_what_cannot_be_mended_is_a_typed_error(
    engine: OpenAIEngine, prompt: str, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        list(engine.sample("t", [chain_request(prompt)]))
    assert type(caught.value) is error
    assert "sekret" not in str(caught.value)


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    engine = OpenAIEngine(base_url="http://127.0.0.1:1/v1", model="m", max_retries=0)
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        list(engine.sample("t", [chain_request("hi")]))
    assert not engine.health().ok
    engine.close()


def test_no_more_requests_than_allowed_are_under_way(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = list(engine.sample("t", [chain_request("slow", index=index, seed=index) for index in range(9)]))
    assert Counter(chain.index for chain in chains) == Counter(range(9))
    assert all(chain.text == f"seed {chain.index}" for chain in chains)
    assert endpoint.most_under_way == CONCURRENCY


def test_closing_the_iterator_hangs_up(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = engine.sample("t", [chain_request("hi"), chain_request("never", index=1)])
    next(chains)
    assert endpoint.kept_waiting.wait(timeout=30)  # a request that is not there yet cannot be hung up on
    chains.close()
    assert endpoint.dropped.wait(timeout=30)


def test_closing_the_engine_hangs_up_on_all(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = engine.sample("t", [chain_request("hi"), chain_request("never", index=1)])
    next(chains)
    assert endpoint.kept_waiting.wait(timeout=30)
    engine.close()
    with pytest.raises(EngineUnavailableError):
        next(chains)
    assert endpoint.dropped.wait(timeout=30)
    assert engine.health().detail == "closed"


def test_an_endpoint_that_answers_is_healthy(engine: OpenAIEngine) -> None:
    assert engine.health().ok


def test_a_schema_is_sent_and_the_chain_brings_its_tokens(endpoint: Endpoint, engine: OpenAIEngine) -> None:
    chain = next(engine.sample("t", [chain_request("hi", json_schema=SCHEMA)]))
    assert endpoint.bodies[0]["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
    assert endpoint.bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert chain.tokens == (Token("a", -0.25), Token("b", -0.5))
    assert next(engine.sample("t", [chain_request("hi")])).tokens == ()
    assert "response_format" not in endpoint.bodies[1]


def test_an_endpoint_that_knows_no_schemas_answers_without_and_is_not_asked_again(
    endpoint: Endpoint, engine: OpenAIEngine
) -> None:
    assert engine.capabilities.structured
    assert next(engine.sample("t", [chain_request("knows no schemas", json_schema=SCHEMA)])).text == "seed 7"
    assert not engine.capabilities.structured
    next(engine.sample("t", [chain_request("hi", json_schema=SCHEMA)]))
    assert "response_format" not in endpoint.bodies[-1]


def test_a_cancelled_request_drops_its_connection(endpoint: Endpoint, engine: OpenAIEngine) -> None:
    cancellation = Cancellation()
    chains = engine.sample("t", [chain_request("never", cancellation=cancellation)])

    def change_our_mind() -> None:
        endpoint.kept_waiting.wait()
        cancellation.give()

    threading.Thread(target=change_our_mind).start()
    with pytest.raises(SamplingCancelledError):
        list(chains)
    assert endpoint.dropped.wait(60)


@pytest.mark.parametrize("prompt", ["no logprobs here", "knows no schemas"])
def test_chains_that_are_refused_at_the_same_time_are_all_asked_for_again(
    engine: OpenAIEngine, prompt: str
) -> None:
    wanted = [chain_request(prompt, index=index, json_schema=SCHEMA) for index in range(3)]
    assert [chain.text for chain in engine.sample("t", wanted)] == ["seed 7"] * 3
