"""The engine that plays recorded chains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.engines.protocol import ChainRequest, FinishReason, Message
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.errors import ConfigurationError, EngineUnavailableError, RequestRefusedError


def request(index: int, *messages: tuple[str, str]) -> ChainRequest:
    spoken = tuple(Message(role=role, content=content) for role, content in messages or (("user", "2 + 2?"),))
    return ChainRequest(index=index, messages=spoken, seed=index, temperature=0.7, max_tokens=64)


def engine(*texts: str) -> ReplayEngine:
    return ReplayEngine({"2 + 2?": [RecordedChain(text=text) for text in texts]})


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_the_index_picks_the_chain() -> None:
    chains = list(engine("3", "4", "5").sample("t", [request(2), request(0)]))
    assert [(chain.index, chain.text) for chain in chains] == [(2, "5"), (0, "3")]


def test_the_last_user_message_is_what_is_looked_up() -> None:
    spoken = request(
        0, ("system", "Be brief."), ("user", "An example?"), ("assistant", "Yes."), ("user", "2 + 2?")
    )
    assert next(engine("4").sample("t", [spoken])).text == "4"


@pytest.mark.parametrize(
    "refused",
    [request(1), request(-1), request(0, ("user", "3 + 3?")), request(0, ("system", "2 + 2?"))],
    ids=["too few chains", "negative index", "unknown prompt", "no user message"],
)
def test_what_is_not_recorded_is_refused_before_any_chain(refused: ChainRequest) -> None:
    with pytest.raises(RequestRefusedError):
        engine("4").sample("t", [request(0), refused])


def test_a_file_gives_every_field_of_its_chains(tmp_path: Path) -> None:
    recorded = {"text": "4.", "logprob": -1.5, "n_tokens": 2, "finish_reason": "length", "model": "big"}
    path = write(tmp_path / "chains.jsonl", {"prompt": "2 + 2?", "chains": [recorded]})
    chain = next(ReplayEngine.from_file(path).sample("t", [request(0)]))
    assert (chain.text, chain.logprob, chain.n_tokens) == ("4.", -1.5, 2)
    assert (chain.finish_reason, chain.model, chain.revision) == (FinishReason.LENGTH, "big", "chains.jsonl")


def test_lines_of_the_same_prompt_are_joined_in_order(tmp_path: Path) -> None:
    lines = [{"prompt": "2 + 2?", "chains": [{"text": text}]} for text in "34"]
    played = ReplayEngine.from_file(write(tmp_path / "chains.jsonl", *lines))
    assert [chain.text for chain in played.sample("t", [request(0), request(1)])] == ["3", "4"]


def test_a_chain_of_unknown_length_counts_its_words() -> None:
    assert next(engine("two and two are four").sample("t", [request(0)])).n_tokens == 5


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "line 2: the line: Invalid JSON"),
        ('{"prompt": "p"}', "line 2: chains: Field required"),
        ('{"prompt": "p", "chains": [{"text": "t", "logprob": 0.5}]}', r"line 2: chains.0.logprob"),
        ('{"prompt": "p", "chains": [{"text": "t", "tokens": 5}]}', r"line 2: chains.0.tokens: Extra"),
    ],
)
def test_a_malformed_line_is_named_with_its_field(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "chains.jsonl"
    path.write_text('{"prompt": "p", "chains": []}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint):
        ReplayEngine.from_file(path)


def test_a_missing_file_is_a_mistake_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        ReplayEngine.from_file(tmp_path / "none.jsonl")


def test_logprobs_are_promised_only_when_every_chain_has_one() -> None:
    with_one = RecordedChain(text="4", logprob=-1.0)
    assert ReplayEngine({"p": [with_one]}).capabilities.logprobs
    assert not ReplayEngine({"p": [with_one, RecordedChain(text="5")]}).capabilities.logprobs


def test_closing_ends_chains_under_way() -> None:
    played = engine("3", "4")
    chains = played.sample("t", [request(0), request(1)])
    next(chains)
    played.close()
    with pytest.raises(EngineUnavailableError):
        next(chains)
    assert not played.health().ok
