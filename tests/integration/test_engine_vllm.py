"""The engine on vLLM, with a tiny model of random weights. Not part of CI: vLLM is 3.5 GB."""

from __future__ import annotations

import gc
import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if not importlib.util.find_spec("vllm"):
    pytest.skip("vLLM is not installed, and no part of CI; docs/engines.md says how", allow_module_level=True)

from tests.contract.tiny_model import CONTEXT_TOKENS, make_tiny_model
from worker.engines.protocol import ChainRequest, FinishReason, Message
from worker.engines.vllm_async import VllmEngine
from worker.errors import ConfigurationError, EngineUnavailableError, PromptTooLongError

# vLLM's own imports warn of each other, and it takes minutes to load on a busy machine.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[VllmEngine]:
    engine = VllmEngine(
        str(folder), model="tiny", n_parallel=8, context_tokens=CONTEXT_TOKENS, more={"dtype": "float32"}
    )
    yield engine
    engine.close()
    # An engine that died leaves a socket context of vLLM's own behind, which warns when it is collected: here, where
    # warnings of vLLM's are ignored, and not at the end of the session.
    del engine
    gc.collect()


def asked(prompt: str = "Say hi.", *, k: int = 1, **changes: Any) -> list[ChainRequest]:
    messages = (Message(role="user", content=prompt),)
    fields = {"temperature": 0.8, "max_tokens": 16, **changes}
    return [ChainRequest(index=i, messages=messages, seed=i, **fields) for i in range(k)]


def test_closing_the_generator_aborts_the_chains_inside_vllm(engine: VllmEngine) -> None:
    quick, *slow = asked(k=8, max_tokens=450)
    first = ChainRequest(index=0, messages=quick.messages, seed=0, temperature=0.0, max_tokens=1)
    chains = engine.sample("t", [first, *slow])
    assert next(chains).index == 0
    chains.close()
    while engine.health().facts["unfinished"] != "0":
        time.sleep(0.01)
    assert len(list(engine.sample("t", asked(k=2)))) == 2


def test_the_same_requests_give_the_same_chains(engine: VllmEngine) -> None:
    def all_of_them() -> list[tuple[int, str]]:
        return sorted((chain.index, chain.text) for chain in engine.sample("t", asked(k=8)))

    once = all_of_them()
    assert all_of_them() == once
    assert len({text for _, text in once}) > 1


def test_a_stop_word_ends_a_chain_and_is_left_out(engine: VllmEngine) -> None:
    whole = next(engine.sample("t", asked(max_tokens=30, temperature=0.0)))
    word = whole.text[5:7]
    stopped = next(engine.sample("t", asked(max_tokens=30, temperature=0.0, stop=(word,))))
    assert stopped.text == whole.text[: whole.text.index(word)]
    assert stopped.finish_reason is FinishReason.STOP


def test_what_exceeds_the_context_is_refused_before_work_begins(engine: VllmEngine) -> None:
    with pytest.raises(PromptTooLongError, match=f"the context holds {CONTEXT_TOKENS}"):
        engine.sample("t", asked(max_tokens=CONTEXT_TOKENS))


def test_an_option_that_vllm_does_not_know_is_a_mistake_of_configuration(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="tensor_paralel_size"):
        VllmEngine(str(folder), model="m", more={"tensor_paralel_size": 2})


def test_when_vllm_s_process_dies_its_chains_fail_and_the_next_request_starts_it_again(
    engine: VllmEngine,
) -> None:
    quick, *slow = asked(k=8, max_tokens=450)
    chains = engine.sample(
        "t", [ChainRequest(index=0, messages=quick.messages, seed=0, temperature=0.0, max_tokens=1), *slow]
    )
    next(chains)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(EngineUnavailableError):
        list(chains)
    assert not engine.health().ok
    assert len(list(engine.sample("t", asked(k=2)))) == 2
    assert engine.health().ok


def test_nothing_of_vllm_outlives_a_killed_worker(folder: Path) -> None:
    script = """
import multiprocessing, os, sys
from worker.engines.vllm_async import VllmEngine

if __name__ == "__main__":
    engine = VllmEngine(sys.argv[1], model="m", context_tokens=256, more={"dtype": "float32"})
    pids = [child.pid for child in multiprocessing.active_children()]
    print("pids", os.getpid(), *pids, flush=True)
    sys.stdin.read()
"""
    program = folder / "guarded.py"
    program.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen(
        [sys.executable, str(program), str(folder)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    told = next(line for line in worker.stdout if line.startswith("pids "))  # vLLM's own words come before
    own, *children = map(int, told.split()[1:])
    assert children
    os.kill(own, signal.SIGKILL)
    worker.wait()
    while any(Path(f"/proc/{child}/cmdline").exists() and _runs(child) for child in children):
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
