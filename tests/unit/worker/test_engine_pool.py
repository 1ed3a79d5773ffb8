"""Several models in one task: shared out, replaced while one is away, and told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import Thresholds
from worker.deciding import models_of
from worker.engines.pool import PoolEngine
from worker.engines.protocol import ChainRequest, Engine, Health, SampledChain
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.errors import (
    ConfigurationError,
    EngineFaultError,
    EngineUnavailableError,
    ModelFetchError,
    RequestRefusedError,
)
from worker.generation import open_engine
from worker.roster import offered, read_roster
from worker.sampling import Sampled, sample_task
from worker.settings import Settings
from worker.submission.lines import TaskLine

PROMPT = "What is 1 + 1?"


def saying(word: str, *, n: int = 8) -> ReplayEngine:
    chains = [RecordedChain(text=f"Answer: {word}", logprob=-1.0, n_tokens=3, model="own") for _ in range(n)]
    return ReplayEngine({PROMPT: chains})


class Failing(ReplayEngine):
    """Gives some chains, then is away."""

    def __init__(self, *, after: int = 0) -> None:
        super().__init__({PROMPT: [RecordedChain(text="Answer: f", logprob=-1.0, n_tokens=3)] * 8})
        self.after = after
        self.n_calls = 0

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        self.n_calls += 1
        for number, chain in enumerate(super().sample(task_id, requests)):
            if number >= self.after:
                raise EngineUnavailableError("gone")
            yield chain


def pool(**engines: Engine | Callable[[], Engine]) -> PoolEngine:
    return PoolEngine({n: e if not hasattr(e, "sample") else (lambda e=e: e) for n, e in engines.items()})  # type: ignore[misc]


def sampled(engine: Engine, *models: str, **options: Any) -> Sampled:
    return sample_task(engine, "t", task(*models, **options), thresholds=Thresholds())


def task(*models: str, **options: Any) -> TaskLine:
    return TaskLine.model_validate(
        {
            "custom_id": "t",
            "kind": "qa",
            "prompt": PROMPT,
            "options": {"models": list(models), "early_exit": "none", **options},
        }
    )


def told(line: TaskLine, found: Sampled) -> Any:
    return models_of(line, [chain.as_chain() for chain in found.chains])


def test_chains_are_shared_out_evenly_and_say_whose_they_are() -> None:
    found = sampled(pool(default=saying("d"), b=saying("b")), "default", "b")
    assert Counter(chain.model for chain in found.chains) == {"own": 4, "b": 4}
    assert {(chain.model, chain.answer) for chain in found.chains} == {("own", "d"), ("b", "b")}
    assert told(task("default", "b"), found) == {
        "asked": ["default", "b"],
        "chains": {"b": 4, "own": 4},
        "missing": [],
    }


def test_a_task_that_names_one_model_gets_it_alone() -> None:
    engine = pool(default=saying("d"), b=saying("b"))
    assert {chain.model for chain in sampled(engine, "b").chains} == {"b"}
    assert {chain.model for chain in sampled(engine, "default").chains} == {"own"}
    assert told(task("b"), sampled(engine, "b")) is None


@pytest.mark.parametrize("after", [0, 2])
def test_while_one_model_is_away_the_others_sample_its_chains_and_the_record_says_so(after: int) -> None:
    engine = pool(default=saying("d"), b=Failing(after=after))
    found = sampled(engine, "default", "b")
    assert [chain.index for chain in found.chains] == list(range(8))
    counts = Counter(chain.model for chain in found.chains)
    assert counts == ({"own": 8} if after == 0 else {"own": 6, "b": 2})
    assert told(task("default", "b"), found)["missing"] == (["b"] if after == 0 else [])


def test_the_default_model_can_be_the_one_that_is_away() -> None:
    found = sampled(pool(default=Failing(), b=saying("b")), "default", "b")
    assert told(task("default", "b"), found) == {
        "asked": ["default", "b"],
        "chains": {"b": 8},
        "missing": ["default"],
    }


def test_a_model_that_was_away_is_left_alone_for_a_while() -> None:
    failing = Failing()
    engine = pool(default=saying("d"), b=failing)
    for _ in range(3):
        sampled(engine, "default", "b")
    assert failing.n_calls == 1
    assert engine.health().facts["away: b"] == "gone"


def test_a_pool_s_health_tells_of_every_model_that_was_needed() -> None:
    class Dead(ReplayEngine):
        def health(self) -> Health:
            return Health(ok=False, detail="the thread has ended", lost=True)

    engine = pool(default=saying("d"), b=Dead({}), c=Failing(), d=saying("d"))
    assert engine.health() == Health(ok=True, facts={"prompts": "1"})
    sampled(engine, "default", "c")
    assert (engine.health().ok, engine.health().detail) == (True, "c: gone")
    with pytest.raises(RequestRefusedError):
        sampled(engine, "b")
    health = engine.health()
    assert (health.detail, health.lost) == ("b: the thread has ended; c: gone", True)


def test_when_every_model_is_away_the_task_waits() -> None:
    with pytest.raises(EngineUnavailableError, match="gone"):
        sampled(pool(default=Failing(), b=Failing()), "default", "b")


def test_a_model_that_cannot_be_built_is_away() -> None:
    def broken() -> Engine:
        raise ConfigurationError("no such file")

    found = sampled(pool(default=saying("d"), b=broken), "default", "b")
    assert told(task("default", "b"), found)["missing"] == ["b"]


def test_a_task_that_names_only_a_model_that_cannot_be_built_here_does_not_wait_for_ever() -> None:
    def mistaken() -> Engine:
        raise ConfigurationError("no such library")

    def absent() -> Engine:
        raise ModelFetchError("not fetched yet")

    engine = pool(default=saying("d"), b=mistaken, c=absent)
    with pytest.raises(EngineFaultError, match="b: no such library"):
        sampled(engine, "b")
    with pytest.raises(EngineUnavailableError, match="c: not fetched yet"):
        sampled(engine, "c")
    with pytest.raises(EngineUnavailableError, match="c: not fetched yet"):  # which may come
        sampled(engine, "b", "c")
    assert engine.health().detail == "b: no such library; c: not fetched yet"


def test_the_record_names_the_engine_that_sampled_a_chain_and_so_does_what_is_said_of_it() -> None:
    class Other(ReplayEngine):
        name = "other"

    mute = RecordedChain(text="Answer: m", n_tokens=3)
    engine = pool(default=saying("d"), b=Other({PROMPT: [mute] * 8}))
    found = sampled(engine, "default", "b")
    assert {(chain.model, chain.engine) for chain in found.chains} == {("own", "replay"), ("b", "other")}
    promising = pool(default=saying("d"), b=lambda: Other({PROMPT: [mute] * 8}))
    with pytest.raises(EngineFaultError, match="the engine other gave no logprobs"):
        sampled(promising, "b", set_rule="score")


def test_what_a_model_promises_is_its_own_and_its_offer_before_it_is_loaded() -> None:
    deaf = replace(saying("b").capabilities, logprobs=False)
    engine = PoolEngine({"default": lambda: saying("d"), "b": lambda: saying("b")}, offers={"b": deaf})
    with pytest.raises(RequestRefusedError, match='the model "b" does not give'):
        sampled(engine, "b", set_rule="score")
    assert sampled(engine, "b").chains  # now it is loaded, and gives them
    assert sampled(engine, "b", set_rule="score").chains


def test_a_refusal_of_one_model_fails_the_request() -> None:
    with pytest.raises(RequestRefusedError, match="recorded"):
        sampled(pool(default=saying("d"), b=saying("b", n=1)), "default", "b")


def test_a_name_that_no_model_has_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="no model of the pool"):
        sampled(pool(default=saying("d")), "default", "b")


@given(k=st.integers(1, 20), n_models=st.integers(1, 4))
def test_early_exit_does_not_make_a_model_missing(k: int, n_models: int) -> None:
    names = ["default", "b", "c", "d"][:n_models]
    engine = pool(**{name: saying("same", n=20) for name in names})
    found = sampled(engine, *names, k=k, early_exit="paper")
    record = told(task(*names, k=k), found)
    assert record is None or record["missing"] == []


def test_the_record_of_an_unknown_index_is_not_asked_for() -> None:
    assert models_of(task("default", "b", k=1), [Chain(index=0, answer="x", model="own")]) == {
        "asked": ["default", "b"],
        "chains": {"own": 1},
        "missing": [],
    }


def test_a_pool_is_made_from_its_file(tmp_path: Path) -> None:
    recording = tmp_path / "chains.jsonl"
    line = {"prompt": PROMPT, "chains": [{"text": "Answer: 2", "logprob": -1.0, "n_tokens": 3}] * 8}
    recording.write_text(json.dumps(line))
    file = tmp_path / "pool.json"
    file.write_text(
        json.dumps({"models": {"b": {"engine": "replay", "model": "m", "replay_file": str(recording)}}})
    )
    settings = Settings(state_dir=tmp_path, engine="replay", replay_file=recording, pool_file=file)
    engine = open_engine(settings, {})
    assert engine.capabilities.models == {"default", "b"}
    assert Counter(c.model for c in sampled(engine, "default", "b").chains) == {"recorded": 4, "b": 4}
    engine.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"models": {"default": {"engine": "replay", "model": "m"}}}', "name this one otherwise"),
        ('{"models": {"b": {"engine": "gpt", "model": "m"}}}', "models.b.engine"),
        ('{"models": {"b": {"engine": "openai", "model": "m", "key": "sekret"}}}', "not a known field"),
        ("[]", "pool.json"),
        ('{"models": {"b": {"engine": "openai", "model": "m"}}}', "models.b.base_url is missing"),
        ('{"models": {"b": {"engine": "replay", "model": "m"}}}', "models.b.replay_file is missing"),
        (
            '{"models": {"b": {"engine": "llamacpp", "model": "m", "engine_options": {"dtype": "x"}}}}',
            "models.b.engine_options: the engine llamacpp takes no options of its own; remove dtype",
        ),
    ],
)
def test_a_pool_file_that_cannot_be_meant_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "pool.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_roster(file)
    assert "sekret" not in str(caught.value)


def test_a_submitter_knows_what_each_model_of_the_file_can_do(tmp_path: Path) -> None:
    file = tmp_path / "pool.json"
    remote = {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    models = {"mute": {**remote, "logprobs": "never"}, "wide": {**remote, "context_tokens": 9000}}
    file.write_text(json.dumps({"models": models}))
    found = offered(Settings(state_dir=tmp_path, pool_file=file, context_tokens=2000))
    assert found.models == {"default", "mute", "wide"}
    told = {name: (found.of(name).logprobs, found.of(name).max_context_tokens) for name in found.models}
    assert told == {"default": (True, 2000), "mute": (False, 2000), "wide": (True, 9000)}


def test_without_a_file_there_is_no_pool_and_a_missing_one_is_a_mistake(tmp_path: Path) -> None:
    assert read_roster(None) == {}
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_roster(tmp_path / "none.json")
