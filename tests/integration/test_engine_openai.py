"""The engine for OpenAI-compatible endpoints, against a real HTTP server on loopback that misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from worker.engines.cancellation import Cancellation
from worker.engines.openai_compatible import OpenAIEngine
from worker.engines.protocol import ChainRequest, FinishReason, Message, Token
from worker.errors import (
    EngineUnavailableError,
    PromptTooLongError,
    RequestRefusedError,
    SamplingCancelledError,
)
from worker.explanations import SCHEMA

CONCURRENCY = 3


class Endpoint(ThreadingHTTPServer):
    """Answers a chat completion with the seed as its text; the prompt names how to misbehave first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.asked_at: dict[str, list[float]] = {}
        self.under_way = 0
        self.most_under_way = 0
        self.full = threading.Event()
        self.kept_waiting = threading.Event()
        self.dropped = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is what some tests are about


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass

    def reply(self, status: int, body: str | dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        standard = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**standard, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.keys.add(self.headers.get("Authorization"))
            times = server.asked_at.setdefault(prompt, [])
            times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.under_way, server.most_under_way)
            if server.most_under_way == CONCURRENCY:
                server.full.set()
        try:
            self.answer(prompt, body, n_times=len(times))
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, prompt: str, body: dict[str, Any], *, n_times: int) -> None:
        if prompt == "hangs up once" and n_times == 1:
            self.close_connection = True
            self.connection.close()
        elif prompt == "never":
            self.server.kept_waiting.set()
            with contextlib.suppress(ConnectionResetError):  # a reset is a hang-up too
                if self.connection.recv(1) != b"":
                    return
            self.server.dropped.set()
        elif prompt == "knows no schemas" and "response_format" in body:
            self.reply(400, {"error": {"message": "unknown field response_format"}})
        elif prompt in ONCE and n_times == 1:
            self.reply(*ONCE[prompt])
        elif prompt in ALWAYS and not (prompt == "no logprobs here" and "logprobs" not in body):
            self.reply(*ALWAYS[prompt])
        else:
            if prompt == "slow":
                self.server.full.wait(60)  # however long the others take to come
                time.sleep(0.2)  # one too many would come now
            self.reply(200, completion(body, **ODD.get(prompt, {})))


Reply = tuple[int, str | dict[str, Any], dict[str, str]]

ONCE: dict[str, Reply] = {
    "busy once": (429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}),
    "broken once": (503, {"error": {"message": "loading"}}, {}),
}

ALWAYS: dict[str, Reply] = {
    "always broken": (500, {"error": {"message": "out of memory"}}, {"Retry-After-Ms": "1"}),
    "malformed": (200, '{"choices": [', {}),
    "not a completion": (200, {"hello": "world"}, {}),
    "html": (200, "<html>login</html>", {"Content-Type": "text/html"}),
    "no such key": (401, {"error": {"message": "bad key"}}, {}),
    "too long": (400, {"error": {"message": "too many tokens", "code": "context_length_exceeded"}}, {}),
    "refused": (400, {"error": {"message": "temperature must be 1"}}, {}),
    "no logprobs here": (400, {"error": {"message": "not for this model", "param": "logprobs"}}, {}),
}

ODD: dict[str, dict[str, Any]] = {
    "ignores logprobs": {"logprobs": False},
    "cut off": {"finish_reason": "length"},
    "filtered": {"finish_reason": "content_filter", "content": None},
}


def completion(
    body: dict[str, Any], *, logprobs: bool = True, finish_reason: str = "stop", content: str | None = ""
) -> dict[str, Any]:
    tokens = [{"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -0.5}]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"seed {body['seed']}" if content == "" else content},
        "finish_reason": finish_reason,
        "logprobs": {"content": tokens} if logprobs and "logprobs" in body else None,
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {"id": "1", "model": "served", "system_fingerprint": "fp", "choices": [choice], "usage": usage}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(
        base_url=endpoint.url, model="asked", api_key="sekret", concurrency=CONCURRENCY, max_retries=2
    )
    yield engine
    engine.close()


def request(prompt: str, *, index: int = 0, **changes: Any) -> ChainRequest:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=prompt))
    fields = {"seed": 7, "temperature": 0.6, "max_tokens": 32, **changes}
    return ChainRequest(index=index, messages=messages, **fields)


def test_a_request_says_all_that_was_asked_for(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    list(engine.sample("t", [request("hi", stop=("END",))]))
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
    chain = next(engine.sample("t", [request("hi", index=4)]))
    assert (chain.index, chain.text, chain.logprob, chain.n_tokens) == (4, "seed 7", -0.75, 2)
    assert (chain.model, chain.revision, chain.finish_reason) == ("asked", "fp", FinishReason.STOP)


def test_without_logprobs_the_sum_is_unknown(engine: OpenAIEngine) -> None:
    chain = next(engine.sample("t", [request("ignores logprobs")]))
    assert (chain.logprob, chain.n_tokens) == (None, 3)
    assert engine.capabilities.logprobs


def test_a_model_that_refuses_logprobs_is_not_asked_for_them_again(
    engine: OpenAIEngine, endpoint: Endpoint
) -> None:
    chain = next(engine.sample("t", [request("no logprobs here")]))
    assert chain.logprob is None
    assert not engine.capabilities.logprobs
    list(engine.sample("t", [request("hi")]))
    assert "logprobs" not in endpoint.bodies[-1]


@pytest.mark.parametrize(
    ("prompt", "reason", "text"),
    [("cut off", FinishReason.LENGTH, "seed 7"), ("filtered", FinishReason.ERROR, "")],
)
def test_how_a_chain_ended_is_told(
    engine: OpenAIEngine, prompt: str, reason: FinishReason, text: str
) -> None:
    chain = next(engine.sample("t", [request(prompt)]))
    assert (chain.finish_reason, chain.text) == (reason, text)


@pytest.mark.parametrize("prompt", ["busy once", "broken once", "hangs up once"])
def test_what_fails_on_the_way_is_repeated(engine: OpenAIEngine, endpoint: Endpoint, prompt: str) -> None:
    assert next(engine.sample("t", [request(prompt)])).text == "seed 7"
    assert len(endpoint.asked_at[prompt]) == 2


def test_the_pause_that_the_endpoint_asks_for_is_kept(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    list(engine.sample("t", [request("busy once")]))
    first, second = endpoint.asked_at["busy once"]
    assert second - first >= 1.0


@pytest.mark.parametrize(
    ("prompt", "error", "complaint"),
    [
        ("always broken", EngineUnavailableError, "answers 500.*out of memory"),
        ("malformed", EngineUnavailableError, "no chat completion"),
        ("not a completion", EngineUnavailableError, "choices"),
        ("html", EngineUnavailableError, "no chat completion"),
        ("no such key", EngineUnavailableError, "answers 401"),
        ("too long", PromptTooLongError, "too many tokens"),
        ("refused", RequestRefusedError, "temperature must be 1"),
    ],
)
def test_what_cannot_be_mended_is_a_typed_error(
    engine: OpenAIEngine, prompt: str, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        list(engine.sample("t", [request(prompt)]))
    assert type(caught.value) is error
    assert "sekret" not in str(caught.value)


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    engine = OpenAIEngine(base_url="http://127.0.0.1:1/v1", model="m", max_retries=0)
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        list(engine.sample("t", [request("hi")]))
    assert not engine.health().ok
    engine.close()


def test_no_more_requests_than_allowed_are_under_way(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = list(engine.sample("t", [request("slow", index=index, seed=index) for index in range(9)]))
    assert Counter(chain.index for chain in chains) == Counter(range(9))
    assert all(chain.text == f"seed {chain.index}" for chain in chains)
    assert endpoint.most_under_way == CONCURRENCY


def test_closing_the_iterator_hangs_up(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = engine.sample("t", [request("hi"), request("never", index=1)])
    next(chains)
    assert endpoint.kept_waiting.wait(timeout=30)  # a request that is not there yet cannot be hung up on
    chains.close()
    assert endpoint.dropped.wait(timeout=30)


def test_closing_the_engine_hangs_up_on_all(engine: OpenAIEngine, endpoint: Endpoint) -> None:
    chains = engine.sample("t", [request("hi"), request("never", index=1)])
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
    chain = next(engine.sample("t", [request("hi", json_schema=SCHEMA)]))
    assert endpoint.bodies[0]["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
    assert endpoint.bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert chain.tokens == (Token("a", -0.25), Token("b", -0.5))
    assert next(engine.sample("t", [request("hi")])).tokens == ()
    assert "response_format" not in endpoint.bodies[1]


def test_an_endpoint_that_knows_no_schemas_answers_without_and_is_not_asked_again(
    endpoint: Endpoint, engine: OpenAIEngine
) -> None:
    assert engine.capabilities.structured
    assert next(engine.sample("t", [request("knows no schemas", json_schema=SCHEMA)])).text == "seed 7"
    assert not engine.capabilities.structured
    next(engine.sample("t", [request("hi", json_schema=SCHEMA)]))
    assert "response_format" not in endpoint.bodies[-1]


def test_a_cancelled_request_drops_its_connection(endpoint: Endpoint, engine: OpenAIEngine) -> None:
    cancellation = Cancellation()
    chains = engine.sample("t", [request("never", cancellation=cancellation)])

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
    wanted = [request(prompt, index=index, json_schema=SCHEMA) for index in range(3)]
    assert [chain.text for chain in engine.sample("t", wanted)] == ["seed 7"] * 3
