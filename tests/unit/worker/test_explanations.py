"""Explanations in SPREAD: lists read strictly, and each explanation weighed by what can tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.decisions import Thresholds
from worker.deciding import decide_task
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    FinishReason,
    Message,
    SampledChain,
    Score,
    ScoreRequest,
    Token,
)
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.errors import RequestRefusedError
from worker.explanations import KEY, MOST, SCHEMA, listed_by
from worker.instructions.reading import read_instructions
from worker.sampling import Sampled, requests_of, sample_task
from worker.store.chains import each_explanation
from worker.submission.lines import TaskLine

LINE = TaskLine.model_validate(
    {"custom_id": "t", "kind": "diagnosis", "mode": "spread", "prompt": "?", "options": {"k": 2}}
)


def chain(text: str, *, index: int = 0, tokens: Sequence[Token] = ()) -> SampledChain:
    return SampledChain(
        index=index,
        text=text,
        logprob=-8.0,
        n_tokens=4,
        finish_reason=FinishReason.STOP,
        model="m",
        revision="r",
        latency_s=0.0,
        tokens=tuple(tokens),
    )


def listing(*names: str) -> str:
    return json.dumps({KEY: list(names)})


def answers(text: str) -> list[str]:
    return [one.answer for one in listed_by(LINE, chain(text))]


class Doctor(ReplayEngine):
    """Plays lists, and scores what it is told to."""

    def __init__(self, *texts: str, scores: dict[str, Score] | None = None, structured: bool = True) -> None:
        super().__init__(
            {"?": [RecordedChain(text=text, logprob=-8.0, n_tokens=4, model="m") for text in texts]}
        )
        self._scores = scores
        self._structured = structured
        self.asked: list[ChainRequest] = []
        self.scored: list[ScoreRequest] = []

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, structured=self._structured, scores=self._scores is not None)

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
        self.asked += requests
        return super().sample(task_id, [replace(request, json_schema=None) for request in requests])

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        self.scored += requests
        if self._scores is None or any(request.text not in self._scores for request in requests):
            raise RequestRefusedError("no")
        return [self._scores[request.text] for request in requests]


def sampled(engine: Doctor, line: TaskLine = LINE) -> Sampled:
    return sample_task(engine, "t", line, thresholds=Thresholds())


def test_a_list_is_read_in_order_and_each_explanation_once() -> None:
    assert answers(listing("Flu", "cold", "flu", " Covid-19. ")) == ["Flu", "cold", "Covid-19"]


FLU = '{"explanations": ["flu", "cold"]}'


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{FLU}\n```",
        f"```\n{FLU}\n```\n",
        f"\ufeff{FLU}",
        f'<think>Is it {{a cold}}? "No".</think>\n\n{FLU}',
        f"<think></think>\n```JSON\r\n{FLU}\r\n```  ",
    ],
)
def test_a_list_is_found_in_what_endpoints_without_a_grammar_put_around_it(text: str) -> None:
    assert answers(text) == ["flu", "cold"]
    tokens = [Token(letter, -1.0) for letter in text]
    weighed = listed_by(LINE, chain(text, tokens=tokens))
    assert [(one.by, one.n_tokens) for one in weighed] == [("list", 3), ("list", 4)]


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is: {FLU}",
        f"```json\n{FLU}",
        f"```python\n{FLU}\n```",
        f"<think>{FLU}",
        f"<think></think><think></think>{FLU}",
        "```json",
        "``````",
        "```",
        "<think></think>",
        "",
    ],
)
def test_whatever_else_stands_around_a_list_makes_it_none(text: str) -> None:
    assert answers(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Flu",
        '["Flu"]',
        '{"explanations": "Flu"}',
        '{"explanations": ["Flu", 3]}',
        '{"explanations": ["Flu"',
        '{"explanations": ["Flu"], "note": "x"}',
        '{"explanations": ["Flu"]} and more',
        '{"explanations": ["a"], "explanations": ["b"]}',
        '{"explanations": NaN}',
        "[" * 100_000,
    ],
)
def test_what_is_not_exactly_such_a_list_lists_nothing(text: str) -> None:
    assert answers(text) == []


def test_a_list_is_no_longer_than_was_asked_for() -> None:
    assert len(answers(listing(*"abcdefghij"))) == MOST


@given(st.text())
def test_any_text_may_come_from_a_model(text: str) -> None:
    listed_by(LINE, chain(text))
    listed_by(LINE, chain(json.dumps({KEY: [text, text]}, ensure_ascii=False)))


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=MOST), st.integers(1, 7))
def test_an_explanation_is_weighed_by_the_tokens_that_hold_it_and_no_others(
    names: list[str], width: int
) -> None:
    text = listing(*names)
    tokens = [Token(text[at : at + width], -float(at)) for at in range(0, len(text), width)]
    for one in listed_by(LINE, chain(text, tokens=tokens)):
        assert one.logprob is not None
        assert one.n_tokens is not None
        assert (one.by == "list") == (0 < one.n_tokens <= len(tokens))
    first, *_ = listed_by(LINE, chain(listing("Flu"), tokens=[Token(c, -1.0) for c in listing("Flu")]))
    assert (first.logprob, first.n_tokens, first.by) == (-3.0, 3, "list")


def test_tokens_that_are_not_the_text_weigh_nothing() -> None:
    (one,) = listed_by(LINE, chain(listing("Flu"), tokens=[Token("Flu", -1.0)]))
    assert (one.logprob, one.n_tokens, one.by) == (-8.0, 4, "chain")


def test_every_explanation_of_a_list_gets_the_model_s_own_score() -> None:
    scores = {"Flu": Score(logprob=-2.0, n_tokens=2), "Cold": Score(logprob=-1.0, n_tokens=2)}
    engine = Doctor(listing("Flu", "Cold"), listing("Cold"), scores=scores)
    found = sampled(engine)
    assert {request.json_schema for request in engine.asked} == {SCHEMA}
    assert sorted(request.text for request in engine.scored) == ["Cold", "Flu"]  # each wording once
    asked_for_one = requests_of("t", LINE)[0].messages
    assert {request.messages for request in engine.scored} == {asked_for_one}
    first, second = found.chains
    assert [(e.answer, e.logprob, e.by) for e in first.explanations or ()] == [
        ("Flu", -2.0, "score"),
        ("Cold", -1.0, "score"),
    ]
    assert (first.logprob, first.n_tokens, second.answer) == (
        -8.0,
        4,
        "Cold",
    )  # the chain's own, for the record


def test_a_decision_ranks_explanations_by_their_score_and_counts_the_chains_that_name_them() -> None:
    scores = {"Flu": Score(logprob=-1.0, n_tokens=2), "Cold": Score(logprob=-4.0, n_tokens=2)}
    found = sampled(Doctor(listing("Flu", "Cold"), listing("Cold"), scores=scores))
    chains = [one.as_chain() for one in each_explanation(found.chains)]
    decision = decide_task(LINE, chains, [], calibrated=Thresholds())
    assert [(c.answer, c.members) for c in decision.clusters] == [("Flu", (0,)), ("Cold", (0, 1))]
    assert decision.confidence == pytest.approx(2.718281828 ** (-1 / 2))
    assert (decision.n_chains, decision.n_answered, decision.vote_margin) == (2, 2, 0.5)


def test_a_list_that_cannot_be_read_is_a_chain_without_an_answer() -> None:
    found = sampled(
        Doctor(listing("Flu"), '{"explanations": ["Co', scores={"Flu": Score(logprob=-1.0, n_tokens=1)})
    )
    assert [one.answer for one in each_explanation(found.chains)] == ["Flu", None]


def test_one_explanation_that_cannot_be_scored_keeps_the_weight_it_had_and_spoils_no_other() -> None:
    engine = Doctor(listing("Flu", "?!?"), listing("Flu"), scores={"Flu": Score(logprob=-1.0, n_tokens=1)})
    weighed = {one.answer: one.by for c in sampled(engine).chains for one in c.explanations or ()}
    assert weighed == {"Flu": "score", "?!?": "chain"}


def test_an_engine_that_cannot_list_is_asked_for_one_explanation_a_chain_and_may_still_score_it() -> None:
    engine = Doctor(
        "Flu", "Cold", structured=False, scores={n: Score(logprob=-1.0, n_tokens=1) for n in ("Flu", "Cold")}
    )
    found = sampled(engine)
    assert {request.json_schema for request in engine.asked} == {None}
    assert [[(e.answer, e.by) for e in c.explanations or ()] for c in found.chains] == [
        [("Flu", "score")],
        [("Cold", "score")],
    ]


def test_an_engine_that_can_neither_leaves_chains_as_they_are() -> None:
    found = sampled(Doctor("Flu", "Cold", structured=False))
    assert [(c.answer, c.explanations) for c in found.chains] == [("Flu", None), ("Cold", None)]
    assert each_explanation(found.chains) == found.chains


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "code"},
        {"mode": "merge"},
        {"options": {"k": 2, "stop": ["END"]}},
        {"options": {"k": 2, "max_tokens": 63}},
        {"prompt": None, "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "?"}]},
    ],
    ids=["programs", "merge", "stop words", "few tokens", "own system message"],
)
def test_what_shapes_its_own_chains_is_not_asked_for_lists(fields: dict[str, Any]) -> None:
    line = TaskLine.model_validate({**LINE.model_dump(exclude_unset=True), **fields})
    engine = Doctor(*["Flu"] * 8)
    sampled(engine, line)
    assert {request.json_schema for request in engine.asked} == {None}


def test_an_operator_s_instruction_for_one_explanation_turns_lists_off(tmp_path: Any) -> None:
    (tmp_path / "diagnosis.spread.mine.txt").write_text("Name it.")
    engine = Doctor("Flu", "Cold")
    sample_task(engine, "t", LINE, thresholds=Thresholds(), instructions=read_instructions(tmp_path))
    assert {request.messages[0] for request in engine.asked} == {Message(role="system", content="Name it.")}
    (tmp_path / "diagnosis.spread-list.mine.txt").write_text("Name them.")
    engine = Doctor(listing("Flu"), listing("Cold"))
    sample_task(engine, "t", LINE, thresholds=Thresholds(), instructions=read_instructions(tmp_path))
    assert {request.messages[0].content for request in engine.asked} == {"Name them."}
