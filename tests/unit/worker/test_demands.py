"""Tasks that no engine, or not this one, can honour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.demands import max_tokens_of, unmet
from worker.engines.protocol import Capabilities
from worker.submission.lines import TaskLine


def task(**fields: Any) -> TaskLine:
    return TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?", **fields})


def engine(*, logprobs: bool = True, seeds: bool = True, context: int = 4096) -> Capabilities:
    return Capabilities(logprobs=logprobs, seeds=seeds, max_context_tokens=context, concurrency=8)


def test_a_plain_task_asks_for_nothing_special() -> None:
    assert unmet(task(), engine(logprobs=False)) is None


@pytest.mark.parametrize(
    ("fields", "capabilities", "field", "code"),
    [
        ({"options": {"k": 40, "max_tokens": 300}}, engine(), "options.token_budget", "over_budget"),
        ({"options": {"k": 64, "token_budget": 63}}, engine(), "options.token_budget", "over_budget"),
        (
            {"options": {"max_tokens": 4096, "token_budget": 100_000}},
            engine(),
            "options.max_tokens",
            "over_context",
        ),
        ({"mode": "spread"}, engine(logprobs=False), "mode", "no_logprobs"),
        ({"options": {"set_rule": "score"}}, engine(logprobs=False), "options.set_rule", "no_logprobs"),
        ({}, engine(seeds=False), "-", "no_seeds"),
    ],
)
def test_what_cannot_be_honoured_is_named_with_a_way_out(
    fields: dict[str, Any], capabilities: Capabilities, field: str, code: str
) -> None:
    refusal = unmet(task(**fields), capabilities)
    assert refusal is not None
    assert (refusal.field, refusal.code) == (field, code)
    assert refusal.problem
    assert refusal.fix


def test_each_model_that_a_task_names_must_be_able_to() -> None:
    blind = replace(
        engine(), models=frozenset({"default", "blind"}), members={"blind": engine(logprobs=False)}
    )
    assert unmet(task(mode="spread"), blind) is None
    for models in (["blind"], ["default", "blind"]):
        refusal = unmet(task(mode="spread", options={"models": models}), blind)
        assert refusal is not None
        assert (refusal.field, refusal.code) == ("mode", "no_logprobs")
        assert 'the model "blind"' in refusal.problem
    seeing = replace(engine(logprobs=False), models=blind.models, members={"blind": engine(context=300)})
    assert unmet(task(mode="spread", options={"models": ["blind"], "max_tokens": 299}), seeing) is None
    assert unmet(task(mode="spread"), seeing) is not None
    short = unmet(task(options={"models": ["default", "blind"], "max_tokens": 300}), seeing)
    assert short is not None
    assert short.problem == 'is 300, but the context of "blind" holds 300 tokens with the prompt'


def test_chains_that_came_with_the_task_ask_nothing_of_an_engine() -> None:
    given_chains = {"mode": "spread", "chains": [{"text": "a"}], "options": {"max_tokens": 9000}}
    assert unmet(task(**given_chains), engine(logprobs=False)) is None


@given(k=st.integers(1, 64), budget=st.integers(1, 100_000))
def test_without_a_limit_of_its_own_a_task_keeps_its_budget_or_is_refused(k: int, budget: int) -> None:
    line = task(options={"k": k, "token_budget": budget})
    if unmet(line, engine()) is None:
        assert 1 <= max_tokens_of(line) <= 512
        assert k * max_tokens_of(line) <= budget
    else:
        assert budget < k


@given(k=st.integers(1, 64), budget=st.integers(1, 100_000), max_tokens=st.integers(1, 4000))
def test_a_limit_that_was_written_is_kept_or_refused_but_never_changed(
    k: int, budget: int, max_tokens: int
) -> None:
    line = task(options={"k": k, "token_budget": budget, "max_tokens": max_tokens})
    assert max_tokens_of(line) == max_tokens
    assert (unmet(line, engine()) is None) == (k * max_tokens <= budget)
