"""The engine on llama.cpp, with a real, very small model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from worker.engines.cancellation import Cancellation
from worker.engines.llamacpp import LlamaCppEngine
from worker.engines.openai_compatible import OpenAIEngine
from worker.engines.protocol import ChainRequest, FinishReason, Message, ScoreRequest
from worker.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ModelFetchError,
    PromptTooLongError,
    SamplingCancelledError,
)
from worker.models.shelf import locate, pull_model
from worker.settings import Settings

pytestmark = pytest.mark.model

ROOT = Path(__file__).resolve().parents[2]
SMALL_MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def model_file() -> Path:
    models_dir = Settings.from_env(os.environ).models_dir
    try:
        return locate(SMALL_MODEL, models_dir)
    except ModelFetchError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            return pull_model(SMALL_MODEL, models_dir)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def engine(model_file: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(model_file, model="small", n_parallel=4, context_tokens=512)
    yield engine
    engine.close()


def requests(prompt: str, *, k: int = 1, **changes: object) -> list[ChainRequest]:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=prompt))
    fields = {"temperature": 0.8, "max_tokens": 16, **changes}
    return [
        ChainRequest(index=index, messages=messages, seed=index, **fields)  # type: ignore[arg-type]  # by name
        for index in range(k)
    ]


def test_the_revision_is_the_start_of_the_file_s_sha256(engine: LlamaCppEngine) -> None:
    chain = next(engine.sample("t", requests("Say hi.")))
    assert chain.revision == "b179c9523d0e6a0f"
    assert chain.model == "small"


def test_different_seeds_give_different_chains(engine: LlamaCppEngine) -> None:
    chains = engine.sample("t", requests("Tell me a story.", k=4, temperature=1.0))
    assert len({chain.text for chain in chains}) > 1


def test_logprobs_are_the_model_s_own_whatever_the_temperature(engine: LlamaCppEngine) -> None:
    # the greedy words are sampled at both temperatures here, and a sharper distribution would shift their logprobs
    cold, cool = (
        next(engine.sample("t", requests("What is 1 + 1?", max_tokens=1, temperature=temperature)))
        for temperature in (0.0, 0.01)
    )
    assert cold.text == cool.text
    assert cold.logprob == pytest.approx(cool.logprob)
    assert cold.logprob is not None
    assert cold.logprob < -0.001


def test_a_chain_that_uses_up_its_tokens_says_so(engine: LlamaCppEngine) -> None:
    chain = next(engine.sample("t", requests("Tell me a long story.", max_tokens=5)))
    assert (chain.finish_reason, chain.n_tokens) == (FinishReason.LENGTH, 5)


def test_a_stop_word_ends_a_chain_and_is_left_out(engine: LlamaCppEngine) -> None:
    request = requests("Count: 1, 2, 3, 4,", max_tokens=40, temperature=0.0)[0]
    whole = next(engine.sample("t", [request])).text
    word = whole.split()[3]
    stopped = next(
        engine.sample("t", requests("Count: 1, 2, 3, 4,", max_tokens=40, temperature=0.0, stop=(word,)))
    )
    assert stopped.text == whole[: whole.index(word)]
    assert stopped.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(("words", "max_tokens"), [(2000, 16), (5, 510)], ids=["prompt", "prompt and answer"])
def test_what_exceeds_the_context_is_refused_before_work_begins(
    engine: LlamaCppEngine, words: int, max_tokens: int
) -> None:
    with pytest.raises(PromptTooLongError, match="the context holds 512"):
        engine.sample("t", requests("word " * words, max_tokens=max_tokens))


def test_chains_beyond_the_slots_wait_and_come(engine: LlamaCppEngine) -> None:
    assert len(list(engine.sample("t", requests("Say hi.", k=11, max_tokens=4)))) == 11


def test_closing_the_engine_ends_chains_under_way(model_file: Path) -> None:
    engine = LlamaCppEngine(model_file, model="small", n_parallel=2, context_tokens=2048)
    chains = engine.sample("t", requests("Say hi.") + requests("Tell me a story.", k=8, max_tokens=1500))
    next(chains)
    engine.close()
    with pytest.raises(EngineUnavailableError):
        list(chains)


def test_a_cancelled_request_aborts_what_the_model_is_writing(engine: LlamaCppEngine) -> None:
    cancellation = Cancellation()
    slow = requests("Tell me a long story.", k=9, max_tokens=400, temperature=1.0)
    chains = engine.sample("t", [replace(one, cancellation=cancellation) for one in slow])
    threading.Timer(0.5, cancellation.give).start()
    with pytest.raises(SamplingCancelledError):
        list(chains)
    assert len(list(engine.sample("t", requests("Say hi.", k=2)))) == 2


def test_a_score_is_that_of_the_text_s_own_tokens(engine: LlamaCppEngine) -> None:
    messages = requests("Name a disease.")[0].messages

    def score(text: str) -> float:
        (found,) = engine.score([ScoreRequest(messages=messages, text=text)])
        return found.logprob / found.n_tokens

    # A greedy writer would begin with the letter that it likes best and be lost in the rest of the word.
    assert score("Common cold") > score("Cxmmyn cqld")
    assert score('"quoted" \\ text\nof <|im_end|> two lines') < 0.0


def test_a_file_that_is_no_model_is_a_mistake_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>404</html>")
    for path in (tmp_path / "page.gguf", tmp_path / "none.gguf"):
        with pytest.raises(ConfigurationError, match="models pull"):
            LlamaCppEngine(path, model="m")


def test_a_damaged_model_is_reported_in_llama_cpp_s_words(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    log = tmp_path / "logs" / "llamacpp.log"
    with pytest.raises(EngineUnavailableError, match=r"broken\.gguf.*gguf"):
        LlamaCppEngine(tmp_path / "broken.gguf", model="m", log_file=log)
    assert log.stat().st_size > 0


def test_nothing_is_left_after_a_killed_worker_once_the_next_one_starts(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from worker.engines.cancellation import Cancellation
from worker.engines.llamacpp import LlamaCppEngine
engine = LlamaCppEngine(Path(sys.argv[1]), model="m", n_parallel=1, context_tokens=256)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, str(model_file)], cwd=ROOT, env=environment, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    LlamaCppEngine(model_file, model="m", n_parallel=1, context_tokens=256).close()
    assert list(tmp_path.iterdir()) == []


def test_the_openai_engine_understands_llama_cpp_s_own_http_server(model_file: Path) -> None:
    import xllamacpp  # noqa: PLC0415 - after the engines, which set OMP_WAIT_POLICY first

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file)
    params.n_ctx, params.n_parallel, params.verbosity, params.ui = 1024, 2, 1, False
    params.api_keys = ["sekret"]
    server = xllamacpp.Server(params)
    engine = OpenAIEngine(
        base_url=f"{server.listening_address}/v1", model="small", api_key="sekret", max_retries=0
    )
    assert engine.health().ok
    chains = list(engine.sample("t", requests("Say hi.", k=3)))
    assert all(chain.logprob is not None and chain.logprob < 0.0 and chain.n_tokens > 0 for chain in chains)
    with pytest.raises(PromptTooLongError):
        list(engine.sample("t", requests("word " * 3000)))
    engine.close()
