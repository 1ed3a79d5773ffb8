"""The engine on the transformers library, with a tiny model of random weights: the real code path."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.waiting import until
from tests.contract.tiny_model import CONTEXT_TOKENS, make_tiny_model
from worker.engines.protocol import ChainRequest, FinishReason, Message, ScoreRequest
from worker.engines.registry import EngineOptions, build_engine
from worker.errors import (
    ConfigurationError,
    EngineFaultError,
    EngineUnavailableError,
    PromptTooLongError,
    RequestRefusedError,
)

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("torch", "transformers", "tokenizers") if not importlib.util.find_spec(name)]
if MISSING and os.environ.get("REQUIRE_SERVICES") != "1":
    pytest.skip(f"{' and '.join(MISSING)} not installed; docs/engines.md says how", allow_module_level=True)

import torch  # noqa: E402 - an extra
import transformers  # noqa: E402 - likewise

from worker.engines.decoding import choose, uniforms_of  # noqa: E402 - it imports torch
from worker.engines.sampler import MIN_P, TOP_K, TOP_P  # noqa: E402
from worker.engines.transformers_batch import TransformersEngine  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def built(folder: Path, **more: Any) -> TransformersEngine:
    return TransformersEngine(
        str(folder), model="tiny", n_parallel=6, context_tokens=4096, more={"dtype": "float32", **more}
    )


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[TransformersEngine]:
    engine = built(folder)
    yield engine
    engine.close()


def asked(prompt: str = "Say hi.", *, k: int = 1, **changes: Any) -> list[ChainRequest]:
    messages = (Message(role="user", content=prompt),)
    fields = {"temperature": 0.8, "max_tokens": 16, **changes}
    return [ChainRequest(index=i, messages=messages, seed=i, **fields) for i in range(k)]


def test_the_context_is_no_larger_than_what_the_model_was_trained_for(engine: TransformersEngine) -> None:
    assert engine.capabilities.max_context_tokens == CONTEXT_TOKENS
    with pytest.raises(PromptTooLongError, match=f"the context holds {CONTEXT_TOKENS}"):
        engine.sample("t", asked(max_tokens=CONTEXT_TOKENS))


def test_rows_of_one_batch_keep_their_own_seed_and_temperature(engine: TransformersEngine) -> None:
    requests = [
        ChainRequest(index=i, messages=asked(p)[0].messages, seed=seed, temperature=t, max_tokens=12)
        for i, (p, seed, t) in enumerate(
            [("Hi", 1, 0.9), ("Hi", 2, 0.9), ("A much longer prompt", 1, 0.3), ("Hi", 1, 0.0)]
        )
    ]
    together = {chain.index: chain for chain in engine.sample("t", requests)}
    for request in requests:
        alone = next(engine.sample("t", [request]))
        assert together[request.index].text == alone.text
        assert together[request.index].logprob == pytest.approx(alone.logprob, abs=1e-3)
    assert len({chain.text for chain in together.values()}) > 1


def test_a_chain_that_is_finished_does_not_wait_for_its_batch(engine: TransformersEngine) -> None:
    long, short = asked(max_tokens=400)[0], asked(max_tokens=2)[0]
    requests = [long, ChainRequest(**{**fields(short), "index": 1})]
    chains = list(engine.sample("t", requests))
    assert [chain.index for chain in chains] == [1, 0]


def fields(request: ChainRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__slots__}


def test_a_stop_word_ends_a_chain_and_is_left_out(engine: TransformersEngine) -> None:
    whole = next(engine.sample("t", asked(max_tokens=30, temperature=0.0)))
    word = whole.text[5:7]
    stopped = next(engine.sample("t", asked(max_tokens=30, temperature=0.0, stop=(word,))))
    assert stopped.text == whole.text[: whole.text.index(word)]
    assert stopped.finish_reason is FinishReason.STOP
    assert stopped.n_tokens < whole.n_tokens


def test_a_chain_that_uses_up_its_tokens_says_so(engine: TransformersEngine) -> None:
    chain = next(engine.sample("t", asked(max_tokens=3, temperature=0.0)))
    assert (chain.finish_reason, chain.n_tokens, len(chain.text)) == (FinishReason.LENGTH, 3, 3)


def test_more_chains_than_places_come_in_several_batches(engine: TransformersEngine) -> None:
    assert {chain.index for chain in engine.sample("t", asked(k=20, max_tokens=3))} == set(range(20))


def test_closing_the_generator_takes_its_rows_out_of_the_batch(engine: TransformersEngine) -> None:
    steps: list[int] = []
    hook = engine._decoder._model.register_forward_hook(lambda *_: steps.append(1))
    first, *rest = asked(k=6, max_tokens=450)
    chains = engine.sample("t", [ChainRequest(**{**fields(first), "max_tokens": 1}), *rest])
    next(chains)
    chains.close()
    next(engine.sample("t", asked(max_tokens=1)))  # comes after the aborted batch
    hook.remove()
    assert len(steps) < 450


def test_a_failing_model_is_unavailable_and_the_next_batch_is_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = built(folder)
    run = engine._decoder.run
    monkeypatch.setattr(
        engine._decoder, "run", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory"))
    )
    with pytest.raises(EngineUnavailableError, match="out of memory"):
        list(engine.sample("t", asked(k=3)))
    monkeypatch.setattr(engine._decoder, "run", run)
    assert len(list(engine.sample("t", asked(k=3)))) == 3
    engine.close()


def test_closing_the_engine_ends_chains_under_way(folder: Path) -> None:
    engine = built(folder)
    first, *rest = asked(k=12, max_tokens=450)
    chains = engine.sample("t", [ChainRequest(**{**fields(first), "max_tokens": 1}), *rest])
    next(chains)  # the others are under way, and hundreds of tokens from their end
    closer = threading.Thread(target=engine.close)
    closer.start()
    with pytest.raises(EngineUnavailableError):
        list(chains)
    closer.join()


def test_tasks_that_come_together_are_decoded_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = built(folder, linger_s=100.0)  # a full batch does not linger
    sizes: list[int] = []
    run = engine._decoder.run

    def counted(rows: list[Any], closed: threading.Event) -> None:
        sizes.append(len(rows))
        run(rows, closed)

    monkeypatch.setattr(engine._decoder, "run", counted)
    threads = [threading.Thread(target=lambda: list(engine.sample("t", asked(k=3)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [6]
    engine.close()


def test_a_folder_without_weights_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="cannot load"):
        build_engine("transformers", EngineOptions(model="m", model_dir=str(tmp_path)))


def test_a_model_without_a_chat_template_is_a_mistake_of_configuration(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(bare)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    with pytest.raises(ConfigurationError, match="chat template"):
        built(bare)


def test_messages_that_the_template_refuses_are_refused(folder: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict"
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(strict)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    tokenizer.save_pretrained(strict)
    engine = built(strict)
    with pytest.raises(RequestRefusedError, match="no such role"):
        engine.sample("t", asked())
    engine.close()


def test_the_revision_changes_with_the_weights(
    folder: Path, tmp_path: Path, engine: TransformersEngine
) -> None:
    other = tmp_path / "other"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1.0
    model.save_pretrained(other)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(other)
    changed = built(other)
    revisions = {next(e.sample("t", asked(max_tokens=1))).revision for e in (engine, changed)}
    assert len(revisions) == 2
    changed.close()


@given(
    logits=st.lists(st.floats(-8, 8), min_size=3, max_size=60),
    temperature=st.floats(0.3, 0.9),
    u=st.floats(0, 1, exclude_max=True),
)
def test_a_sampled_token_is_never_one_of_the_tail_and_has_the_model_s_own_logprob(
    logits: list[float], temperature: float, u: float
) -> None:
    row = torch.tensor([logits])
    tokens, logprobs = choose(row, torch.tensor([temperature]), torch.tensor([u], dtype=torch.float64))
    p = row[0].softmax(dim=0)
    token = int(tokens[0])
    assert float(logprobs[0]) == pytest.approx(float(p[token].log()), abs=1e-4)
    more_likely = p[p > p[token] + 1e-6]
    assert len(more_likely) < TOP_K
    assert float(more_likely.sum()) < TOP_P + 1e-4
    assert float(p[token]) >= MIN_P * float(p.max()) - 1e-6


def test_tokens_are_sampled_with_the_probabilities_of_the_sharpened_model() -> None:
    p = torch.tensor([0.5, 0.3, 0.2])
    n = 4000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    tokens, _ = choose(p.log().repeat(n, 1), torch.full((n,), 0.5), u)
    expected = p**2 / (p**2).sum()
    assert torch.bincount(tokens, minlength=3) / n == pytest.approx(expected.numpy(), abs=2e-3)


def test_temperature_nought_takes_the_most_likely_token() -> None:
    u = torch.tensor([0.99], dtype=torch.float64)
    tokens, _ = choose(torch.tensor([[1.0, 1.1, 0.9]]), torch.tensor([0.0]), u)
    assert tokens.tolist() == [1]


def test_the_random_numbers_are_the_seed_s_alone() -> None:
    one, longer = uniforms_of(asked(max_tokens=5)[0]), uniforms_of(asked(max_tokens=9)[0])
    assert one.tolist() == longer[:5].tolist()


def test_a_stop_word_that_comes_first_is_no_part_of_the_text(engine: TransformersEngine) -> None:
    greedy = asked(temperature=0.0)[0]
    begin = next(engine.sample("t", [greedy])).text[0]
    chain = next(engine.sample("t", asked(temperature=0.0, stop=(begin,))))
    assert (chain.text, chain.finish_reason) == ("", FinishReason.STOP)


def test_a_token_that_the_weights_have_no_row_for_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    make_tiny_model(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_tokens(["<|tool|>"], special_tokens=True)  # and the weights were not made larger
    tokenizer.save_pretrained(tmp_path)
    engine = built(tmp_path)
    with pytest.raises(RequestRefusedError, match="no row"):
        engine.sample("t", asked("Use <|tool|> please."))
    with pytest.raises(RequestRefusedError, match="no row"):
        engine.score([ScoreRequest(messages=asked()[0].messages, text="<|tool|>")])
    assert len(list(engine.sample("t", asked(k=2)))) == 2
    engine.close()


def test_a_batch_that_fails_in_an_unforeseen_way_ends_with_an_error_and_the_next_is_decoded(
    folder: Path,
) -> None:
    engine = built(folder)
    with pytest.raises(EngineFaultError, match="IndexError"):
        list(engine.sample("t", asked(max_tokens=0)))  # for which there is no random number
    health = engine.health()
    assert (health.ok, health.lost) == (False, False)
    assert "IndexError" in health.detail
    assert len(list(engine.sample("t", asked(k=2)))) == 2
    until(lambda: engine.health().ok, "the batch is over")  # its chains come a moment earlier
    engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_decoding_thread_ends_nobody_waits_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = built(folder)

    def end(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(engine._decoder, "run", end)
    with pytest.raises(EngineUnavailableError, match="has ended"):
        list(engine.sample("t", asked(k=2)))
    with pytest.raises(EngineUnavailableError, match="has ended"):
        list(engine.sample("t", asked()))
    health = engine.health()
    assert (health.ok, health.lost) == (False, True)
    engine.close()


def test_a_model_of_the_hub_is_pinned_by_the_commit_that_its_name_stands_for(
    folder: Path, tmp_path: Path
) -> None:
    commits = ["0123456789abcdef" * 2 + "01234567", "fedcba9876543210" * 2 + "fedcba98"]
    cached = tmp_path / "models--me--tiny"
    for name, commit in zip(("main", "old"), commits, strict=True):
        shutil.copytree(folder, cached / "snapshots" / commit)
        (cached / "refs").mkdir(exist_ok=True)
        (cached / "refs" / name).write_text(commit)
    program = (
        "from worker.engines.transformers_batch import TransformersEngine as Engine\n"
        "for more in ({}, {'revision': 'old'}):\n"
        "    engine = Engine('me/tiny', model='m', more={'dtype': 'float32', **more})\n"
        "    print(engine.health().facts['revision'])\n"
        "    engine.close()\n"
    )
    # In a process of its own, since the library reads its settings when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [commit[:16] for commit in commits], done.stderr
