"""What every engine promises, run over each of them."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.tiny_model import CONTEXT_TOKENS, make_tiny_model
from worker.engines.cancellation import Cancellation
from worker.engines.offers import offer_of
from worker.engines.pool import PoolEngine
from worker.engines.protocol import ChainRequest, Engine, FinishReason, Message, SampledChain, ScoreRequest
from worker.engines.registry import ENGINES, EngineOptions, build_engine
from worker.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ModelFetchError,
    RequestRefusedError,
    SamplingCancelledError,
)
from worker.explanations import SCHEMA
from worker.models.shelf import locate, pull_model
from worker.settings import Settings

PROMPTS = ("Count from one to five.", "Name a colour.", "Say hello.")
K = 6
SMALL_MODEL = "smollm2-135m"


class EchoHandler(BaseHTTPRequestHandler):
    """Speaks chat completions; the text is a function of prompt and seed."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = f"{body['messages'][-1]['content']} {body['seed']}"
        if body.get("response_format", {}).get("type") == "json_schema":
            text = json.dumps(
                {key: [text] for key in body["response_format"]["json_schema"]["schema"]["required"]}
            )
        logprobs = {"content": [{"token": word, "logprob": -0.5} for word in text.split()]}
        choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": logprobs}
        self._reply({"choices": [choice], "usage": {"completion_tokens": len(text.split())}})

    def _reply(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class EchoServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up has cancelled


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "chains.jsonl"
    chains = [{"text": f"chain {index}", "logprob": -1.0 - index, "n_tokens": 2} for index in range(K)]
    lines = [json.dumps({"prompt": prompt, "chains": chains}) for prompt in PROMPTS]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def endpoint_url() -> Iterator[str]:
    with EchoServer(("127.0.0.1", 0), EchoHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def model_file() -> Path:
    models_dir = Settings.from_env(os.environ).models_dir
    try:
        return locate(SMALL_MODEL, models_dir)
    except ModelFetchError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            return pull_model(SMALL_MODEL, models_dir)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in ("torch", "transformers", "tokenizers") if not importlib.util.find_spec(name)]
    if missing:
        message = f"{' and '.join(missing)} not installed; docs/engines.md says how"
        pytest.fail(message) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(message)
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def vllm_is_here() -> None:
    if not importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is not installed, and no part of CI; docs/engines.md says how")


ALL = [
    "replay",
    "openai",
    "pool",
    pytest.param("llamacpp", marks=pytest.mark.model),
    "transformers",
    # vLLM's own imports warn of each other
    pytest.param(
        "vllm", marks=[pytest.mark.vllm, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]
    ),
]
SLOW_TO_LOAD = {"vllm"}


def build(name: str, request: pytest.FixtureRequest) -> Engine:
    options = EngineOptions(model="m", n_parallel=4, context_tokens=CONTEXT_TOKENS)
    match name:
        case "replay":
            options = replace(options, replay_file=request.getfixturevalue("recording"))
        case "pool":
            options = replace(options, replay_file=request.getfixturevalue("recording"))
            return PoolEngine(
                {name: lambda: build_engine("replay", options) for name in ("default", "other")}
            )
        case "openai":
            options = replace(options, base_url=request.getfixturevalue("endpoint_url"))
        case "llamacpp":
            options = replace(options, model_file=request.getfixturevalue("model_file"))
        case "vllm":
            request.getfixturevalue("vllm_is_here")
            folder = str(request.getfixturevalue("tiny_model"))
            options = replace(options, model_dir=folder, more={"dtype": "float32"})
        case _:
            folder = str(request.getfixturevalue("tiny_model"))
            options = replace(options, model_dir=folder, more={"dtype": "float32"})
    return build_engine(name, options)


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[dict[str, Engine]]:
    """Engines that take half a minute to load, kept for all tests but those that close them."""
    kept: dict[str, Engine] = {}
    yield kept
    for engine in kept.values():
        engine.close()


@pytest.fixture(params=ALL)
def engine(request: pytest.FixtureRequest, shared: dict[str, Engine]) -> Iterator[Engine]:
    name = request.param
    if name not in SLOW_TO_LOAD or "closed" in request.node.name:
        built = build(name, request)
        yield built
        built.close()
        return
    if name not in shared:
        shared[name] = build(name, request)
    yield shared[name]


def requests(prompt: str, n: int = K) -> list[ChainRequest]:
    messages = (Message(role="user", content=prompt),)
    return [
        ChainRequest(index=index, messages=messages, seed=100 + index, temperature=0.8, max_tokens=12)
        for index in range(n)
    ]


def test_each_chain_comes_once_under_its_index(engine: Engine) -> None:
    chains = list(engine.sample("t", requests(PROMPTS[0])))
    assert Counter(chain.index for chain in chains) == Counter(range(K))


def test_a_chain_names_its_model_and_what_pins_it_down(engine: Engine) -> None:
    chain = next(engine.sample("t", requests(PROMPTS[0])))
    assert chain.model
    assert chain.latency_s >= 0.0
    assert chain.n_tokens <= 12


def test_promised_logprobs_are_sums_over_the_counted_tokens(engine: Engine) -> None:
    assert engine.capabilities.logprobs
    for chain in engine.sample("t", requests(PROMPTS[0])):
        assert chain.logprob is not None
        assert chain.logprob <= 0.0
        assert chain.n_tokens > 0


def test_the_same_request_alone_gives_the_same_chain(engine: Engine) -> None:
    assert engine.capabilities.seeds

    def alone() -> SampledChain:
        return next(engine.sample("t", requests(PROMPTS[0])[2:3]))

    first = alone()
    list(engine.sample("other", requests(PROMPTS[1])))  # what ran before must not matter
    again = alone()
    assert (again.text, again.logprob) == (first.text, first.logprob)


def test_no_request_gives_no_chain(engine: Engine) -> None:
    assert list(engine.sample("t", [])) == []


def test_closing_the_iterator_leaves_the_engine_usable(engine: Engine) -> None:
    chains = engine.sample("t", requests(PROMPTS[0]))
    next(chains)
    chains.close()
    assert list(chains) == []
    assert len(list(engine.sample("t", requests(PROMPTS[1])))) == K


def test_closing_an_iterator_that_was_never_begun_is_harmless(engine: Engine) -> None:
    engine.sample("t", requests(PROMPTS[0])).close()
    assert len(list(engine.sample("t", requests(PROMPTS[1], 1)))) == 1


def test_threads_get_the_chains_of_their_own_task(engine: Engine) -> None:
    def run(prompt: str) -> Counter[int]:
        return Counter(chain.index for chain in engine.sample(prompt, requests(prompt)))

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        assert list(pool.map(run, PROMPTS)) == [Counter(range(K))] * len(PROMPTS)


def test_a_score_is_the_logprob_that_the_text_would_have_been_sampled_with(engine: Engine) -> None:
    messages = (Message(role="user", content=PROMPTS[0]),)
    greedy = ChainRequest(index=0, messages=messages, seed=1, temperature=0.0, max_tokens=6)
    if not engine.capabilities.scores:
        with pytest.raises(RequestRefusedError):
            engine.score([ScoreRequest(messages=messages, text="one")])
        return
    chain = next(engine.sample("t", [greedy]))
    assert chain.logprob is not None
    likely, unlikely = engine.score(
        [
            ScoreRequest(messages=messages, text=chain.text),
            ScoreRequest(messages=messages, text='zebra "crab"\n9'),
        ]
    )
    assert likely.n_tokens == chain.n_tokens
    assert likely.logprob == pytest.approx(chain.logprob, rel=0.02, abs=0.05)
    assert unlikely.logprob / unlikely.n_tokens < likely.logprob / likely.n_tokens


def test_a_score_counts_the_text_s_own_tokens_and_not_those_that_a_greedy_model_would_choose(
    engine: Engine,
) -> None:
    if not engine.capabilities.scores:
        return
    messages = (Message(role="user", content=PROMPTS[0]),)
    whole, begun = engine.score(
        [ScoreRequest(messages=messages, text=text) for text in ("zebra crossing", "zebra")]
    )
    assert whole.n_tokens > begun.n_tokens
    assert whole.logprob < begun.logprob  # it begins with the same tokens


def test_a_chain_with_a_schema_follows_it_or_is_refused(engine: Engine) -> None:
    shaped = [replace(one, json_schema=SCHEMA, max_tokens=200) for one in requests(PROMPTS[1], 2)]
    if not engine.capabilities.structured:
        with pytest.raises(RequestRefusedError, match="schema"):
            engine.sample("t", shaped)
        return
    for chain in engine.sample("t", shaped):
        if chain.finish_reason is FinishReason.STOP:
            assert json.loads(chain.text).keys() == {"explanations"}
        else:
            assert chain.text.lstrip().startswith("{")


def test_a_cancelled_request_ends_with_an_error_of_its_own_and_leaves_the_engine_usable(
    engine: Engine,
) -> None:
    cancellation = Cancellation()
    wanted = [replace(one, cancellation=cancellation, max_tokens=60) for one in requests(PROMPTS[0])]
    chains = engine.sample("t", wanted)
    next(chains)
    cancellation.give()
    with pytest.raises(SamplingCancelledError):
        list(chains)
    with pytest.raises(SamplingCancelledError):
        list(engine.sample("t", wanted))
    assert len(list(engine.sample("t", requests(PROMPTS[1])))) == K


def test_an_empty_text_has_no_score(engine: Engine) -> None:
    with pytest.raises(RequestRefusedError):
        engine.score([ScoreRequest(messages=(Message(role="user", content=PROMPTS[0]),), text="")])


def test_an_engine_can_do_what_is_told_of_it_before_it_is_loaded(engine: Engine) -> None:
    told = offer_of(engine.name, logprobs="auto", context_tokens=engine.capabilities.max_context_tokens)
    assert (told.logprobs, told.seeds) == (engine.capabilities.logprobs, engine.capabilities.seeds)
    assert told.max_context_tokens == engine.capabilities.max_context_tokens


def test_an_open_engine_is_healthy(engine: Engine) -> None:
    assert engine.health().ok


def test_a_closed_engine_refuses_work_with_a_typed_error(engine: Engine) -> None:
    engine.close()
    with pytest.raises(EngineUnavailableError):
        list(engine.sample("t", requests(PROMPTS[0])))


def test_a_closed_engine_says_so_and_can_be_closed_again(engine: Engine) -> None:
    engine.close()
    engine.close()
    assert not engine.health().ok


def test_every_engine_of_the_registry_is_under_contract() -> None:
    assert set(ENGINES) == {"replay", "openai", "llamacpp", "transformers", "vllm"}


def test_an_unknown_engine_is_a_mistake_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="llamacpp, openai, replay, transformers, vllm"):
        build_engine("gpt", EngineOptions(model="m"))


@pytest.mark.parametrize("name", ["llamacpp", "openai", "replay", "transformers", "vllm"])
def test_an_engine_without_what_it_needs_is_a_mistake_of_configuration(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        build_engine(name, EngineOptions(model="m"))


@pytest.mark.parametrize("name", ["llamacpp", "openai", "replay"])
def test_options_that_nobody_would_read_are_a_mistake_of_configuration(name: str) -> None:
    with pytest.raises(ConfigurationError, match="tensor_parallel_size"):
        build_engine(name, EngineOptions(model="m", more={"tensor_parallel_size": 2}))


def test_a_key_is_never_shown() -> None:
    assert "sekret" not in repr(EngineOptions(model="m", api_key="sekret"))
