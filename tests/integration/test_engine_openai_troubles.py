"""Endpoints that are odd, overloaded, shut or gone: what is made of it, and how often they are asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.integration.endpoint import Endpoint, Reply, chain_request, served
from worker.engines.attempts import CROWDED, Attempts
from worker.engines.openai_compatible import MOST_CHARS_A_TOKEN, OpenAIEngine
from worker.engines.protocol import SampledChain
from worker.engines.refusals import LONGEST_RETRY_AFTER_S, Cause, Failure, retry_after
from worker.engines.window import PATIENCE_S
from worker.errors import (
    EngineFaultError,
    EngineUnavailableError,
    GenerationError,
    PromptTooLongError,
    RequestRefusedError,
)
from worker.explanations import SCHEMA

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as server:
        yield server


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(base_url=endpoint.url, model="asked", concurrency=3, max_retries=2)
    yield engine
    engine.close()


def fault_of(engine: OpenAIEngine, *prompts: str) -> tuple[list[SampledChain], GenerationError]:
    chains: list[SampledChain] = []
    with pytest.raises(GenerationError) as caught:
        chains.extend(
            engine.sample("t", [chain_request(prompt, index=i) for i, prompt in enumerate(prompts)])
        )
    return chains, caught.value


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("half an emoji", "So \ufffd"),
        ("half a character", "So \ufffd"),
        ("parts", "42"),
        ("no usage", "42"),
        ("odd usage", "42"),
        ("no model", "42"),
        ("odd fingerprint", "42"),
        ("half a fingerprint", "42"),
        ("old logprobs", "42"),
        ("a few more tokens", "42"),
    ],
)
def test_an_odd_answer_is_still_a_chain(engine: OpenAIEngine, prompt: str, text: str) -> None:
    (chain,) = engine.sample("t", [chain_request(prompt)])
    assert chain.text == text
    assert chain.n_tokens in {0, 1}
    assert "\ud800" not in chain.revision


@pytest.mark.parametrize("prompt", ["NaN", "-Infinity", "positive", "no number", "beyond floats"])
def test_a_logprob_that_is_none_is_unknown(engine: OpenAIEngine, prompt: str) -> None:
    (chain,) = engine.sample("t", [chain_request(prompt, json_schema=SCHEMA)])
    assert (chain.text, chain.logprob, chain.n_tokens, chain.tokens) == ("42", None, 1, ())


def test_a_logprob_that_rounding_lifted_above_0_is_0(engine: OpenAIEngine) -> None:
    (chain,) = engine.sample("t", [chain_request("a little above 0")])
    assert chain.logprob == 0.0


@pytest.mark.parametrize("prompt", ["no logprobs without param", "no logprobs for FastAPI"])
def test_logprobs_that_are_refused_in_other_words_are_given_up(engine: OpenAIEngine, prompt: str) -> None:
    (chain,) = engine.sample("t", [chain_request(prompt)])
    assert chain.logprob is None
    assert not engine.capabilities.logprobs


def test_a_refusal_that_only_quotes_the_prompt_gives_nothing_up(engine: OpenAIEngine) -> None:
    with pytest.raises(RequestRefusedError):
        list(engine.sample("t", [chain_request("speaks of schemas", json_schema=SCHEMA)]))
    assert engine.capabilities.logprobs
    assert engine.capabilities.structured


def test_a_prompt_that_cannot_fit_is_not_sent(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    fits = MOST_CHARS_A_TOKEN * (4096 - 32) - len("Be brief.")
    with pytest.raises(PromptTooLongError, match="MERGEREASONER_CONTEXT_TOKENS"):
        engine.sample("t", [chain_request("x" * (fits + 1))])
    assert endpoint.bodies == []
    assert list(engine.sample("t", [chain_request("x" * fits)]))


def test_an_endpoint_that_breaks_over_everything_is_away_and_not_at_fault(
    engine: OpenAIEngine, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda _: (500, {"error": {"message": "no GPU"}}, {"Retry-After-Ms": "1"})
    _, error = fault_of(engine, "hi")
    assert isinstance(error, EngineUnavailableError)


def test_chains_under_way_are_finished_when_one_fails_and_no_others_are_begun(
    engine: OpenAIEngine, endpoint: Endpoint
) -> None:
    begun = threading.Barrier(3)

    def one_is_malformed(body: dict[str, Any]) -> Reply | None:
        said = body["messages"][-1]["content"]
        if said == "later":  # a place may be free before it is known that one failed
            time.sleep(1.0)
        else:
            begun.wait(PATIENCE_S)
        return (200, "{", {}) if said == "poison" else None

    endpoint.reply = one_is_malformed
    chains, error = fault_of(engine, "hi", "poison", "hi", *["later"] * 60)
    assert isinstance(error, EngineFaultError)
    assert [chain.text for chain in chains] == ["seed 7"] * (len(endpoint.bodies) - 1)
    assert 2 <= len(chains) < 60


@pytest.mark.parametrize("room", [1, 2])
def test_an_endpoint_with_less_room_than_we_think_answers_everything_all_the_same(
    endpoint: Endpoint, room: int
) -> None:
    endpoint.room = room
    engine = OpenAIEngine(base_url=endpoint.url, model="asked", concurrency=32)
    chains = list(engine.sample("t", [chain_request("hi", index=i, seed=i) for i in range(48)]))
    assert sorted(chain.index for chain in chains) == list(range(48))
    assert endpoint.n_refused > 0
    engine.close()


@pytest.mark.parametrize("prompt", ["comes back later", "comes back in 2099"])
def test_an_endpoint_that_wants_to_be_left_alone_is(
    engine: OpenAIEngine, endpoint: Endpoint, prompt: str
) -> None:
    _, error = fault_of(engine, prompt, prompt, prompt, prompt)
    assert isinstance(error, EngineUnavailableError)
    assert error.retry_after_s == LONGEST_RETRY_AFTER_S
    n_asked = len(endpoint.bodies)
    assert n_asked <= 3
    with pytest.raises(EngineUnavailableError, match="not to be asked again") as caught:
        list(engine.sample("another", [chain_request("hi")]))
    assert caught.value.retry_after_s is not None
    assert PATIENCE_S < caught.value.retry_after_s <= LONGEST_RETRY_AFTER_S
    assert len(endpoint.bodies) == n_asked


@pytest.mark.parametrize("prompt", ["not paid", "no quota", "no such key"])
def test_what_only_the_operator_can_mend_is_asked_once(
    engine: OpenAIEngine, endpoint: Endpoint, prompt: str
) -> None:
    fault_of(engine, prompt)
    assert len(endpoint.bodies) == 1


def test_a_slow_answer_is_not_asked_for_again_and_counts_when_others_are_answered(endpoint: Endpoint) -> None:
    engine = OpenAIEngine(base_url=endpoint.url, model="asked", timeout_s=0.2)
    _, error = fault_of(engine, "never")
    assert isinstance(error, EngineFaultError)
    assert "does not answer" in str(error)
    assert len(endpoint.asked_at["never"]) == 1
    engine.close()


def test_an_endpoint_that_refuses_connections_is_asked_twice_at_the_most() -> None:
    attempts, unreachable = Attempts(5), Failure(cause=Cause.UNREACHABLE, said="")
    assert attempts.pause_s(unreachable, n_answered=0) is not None
    assert attempts.pause_s(unreachable, n_answered=0) is None


def test_a_machine_that_is_off_is_noticed_long_before_an_answer_would_be_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.engines.openai_compatible.CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A queue for connections that nobody takes from: once it is full, the next one hears nothing.
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.settimeout(0)
            other.connect_ex(full.getsockname())
        engine = OpenAIEngine(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1", model="m")
        _, error = fault_of(engine, *["hi"] * 8)
        assert isinstance(error, EngineUnavailableError)
        assert "cannot be reached" in str(error)
        engine.close()
        for other in others:
            other.close()


def test_a_crowd_is_waited_out_as_long_as_others_are_answered_but_not_for_ever() -> None:
    attempts, busy = Attempts(2), Failure(cause=Cause.OVERLOADED, said="")
    n_tries = 0
    while attempts.pause_s(busy, n_answered=n_tries + 1) is not None:
        n_tries += 1
    assert n_tries == CROWDED * 2 + 1
    alone = Attempts(2)
    assert [alone.pause_s(busy, n_answered=0) is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("said", "pause_s"),
    [
        (None, None),
        ("", None),
        ("banana", None),
        ("-5", None),
        ("0", None),
        ("nan", None),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("1e9", LONGEST_RETRY_AFTER_S),
        ("inf", LONGEST_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ((NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S"), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_RETRY_AFTER_S),
        ("Wed, 99 Oct 2099 99:28:00 GMT", None),
    ],
)
def test_a_header_is_seconds_or_a_date_and_an_hour_at_the_most(
    said: str | None, pause_s: float | None
) -> None:
    assert retry_after(said, now=NOW) == pause_s
