"""Chains asked for in waves, from engines that keep and break their promises."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import Thresholds
from reasoner.early_exit import Policy
from reasoner.fitted import FittedMerge
from worker.deciding import decide_task
from worker.engines.cancellation import Cancellation
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    FinishReason,
    Health,
    SampledChain,
    Score,
    ScoreRequest,
)
from worker.errors import EngineFaultError, RequestRefusedError, SamplingCancelledError
from worker.exiting import simulate_exit
from worker.sampling import Sampled, requests_of, sample_task
from worker.submission.lines import TaskLine
from worker.weights import EQUAL, PoolWeights


class ScriptedEngine:
    """Answers by script: what each chain says, in which order they come, and which are left out."""

    name = "scripted"

    def __init__(
        self,
        answers: Sequence[str],
        *,
        order: Sequence[int] = (),
        left_out: Sequence[int] = (),
        added: Sequence[int] = (),
        logprob: float | None = -1.0,
        promises_logprobs: bool = True,
    ) -> None:
        self._answers = answers
        self._order = {index: place for place, index in enumerate(order)}
        self._left_out = set(left_out)
        self._added = list(added)
        self._logprob = logprob
        self.capabilities = Capabilities(
            logprobs=promises_logprobs, seeds=True, max_context_tokens=1000, concurrency=8
        )
        self.asked: list[int] = []
        self.given: list[int] = []
        self.n_aborted = 0

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        self.asked += [request.index for request in requests]
        indices = [index for index in self.asked if index not in self.given and index not in self._left_out]
        waiting = sorted(indices, key=lambda index: self._order.get(index, index))
        waiting[1:1] = self._added
        try:
            while waiting:
                self.given.append(waiting[0])
                yield self._chain(waiting.pop(0))
        finally:
            self.n_aborted += len(waiting)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        raise RequestRefusedError("no")

    def health(self) -> Health:
        return Health(ok=True)

    def close(self) -> None:
        pass

    def _chain(self, index: int) -> SampledChain:
        return SampledChain(
            index=index,
            text=f"Answer: {self._answers[index % len(self._answers)]}",
            logprob=self._logprob,
            n_tokens=10,
            finish_reason=FinishReason.STOP,
            model="m",
            revision="r",
            latency_s=0.0,
        )


def sampled(engine: Engine, **fields: Any) -> Sampled:
    line = TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?", **fields})
    return sample_task(engine, "t", line, thresholds=Thresholds())


@pytest.mark.parametrize("early_exit", ["none", "paper", "lossless", "adaptive"])
def test_an_engine_that_leaves_chains_out_is_at_fault_and_nothing_hangs(early_exit: str) -> None:
    engine = ScriptedEngine("abcdefgh", left_out=[1])
    with pytest.raises(EngineFaultError, match="without the chains 1"):
        sampled(engine, options={"early_exit": early_exit})


def test_an_engine_that_gives_nothing_at_all_is_at_fault() -> None:
    with pytest.raises(EngineFaultError):
        sampled(ScriptedEngine("a", left_out=range(8)))


@pytest.mark.parametrize("index", [0, 99, -1], ids=["twice", "beyond", "negative"])
def test_a_chain_that_nobody_asked_for_is_a_fault(index: int) -> None:
    with pytest.raises(EngineFaultError, match="nobody asked for"):
        sampled(ScriptedEngine("abcdefgh", added=[index]), options={"early_exit": "none"})


def test_what_is_under_way_when_the_rule_fires_is_aborted() -> None:
    engine = ScriptedEngine("aaabaaaa")
    found = sampled(engine, options={"k": 8, "early_exit": "lossless"})
    assert engine.asked == [0, 1, 2, 3, 4, 5, 6]  # the first five do not settle it, the sixth does
    assert [chain.index for chain in found.chains] == [0, 1, 2, 3, 4, 5]
    assert engine.n_aborted == 1
    assert found.tokens_saved == 10  # the eighth; the aborted seventh may have cost almost all of its tokens


@given(answers=st.lists(st.sampled_from("ab"), min_size=8, max_size=8), order=st.permutations(range(8)))
def test_where_it_stops_does_not_depend_on_which_chain_is_quick(answers: list[str], order: list[int]) -> None:
    options = {"k": 8, "early_exit": "paper"}
    in_order = sampled(ScriptedEngine(answers), options=options)
    shuffled = sampled(ScriptedEngine(answers, order=order), options=options)
    assert shuffled.chains == in_order.chains


def test_without_early_exit_every_chain_is_there_in_order() -> None:
    engine = ScriptedEngine("a", order=[7, 6, 5, 4, 3, 2, 1, 0])
    found = sampled(engine, options={"early_exit": "none"})
    assert [chain.index for chain in found.chains] == list(range(8))
    assert (engine.n_aborted, found.tokens_saved) == (0, 0)


def test_spread_is_refused_by_an_engine_without_logprobs() -> None:
    with pytest.raises(RequestRefusedError, match="logprobs"):
        sampled(ScriptedEngine("ab", promises_logprobs=False), mode="spread")


def test_an_engine_that_promises_logprobs_and_gives_none_is_at_fault_where_they_are_needed() -> None:
    with pytest.raises(EngineFaultError, match="logprobs"):
        sampled(ScriptedEngine("ab", logprob=None), mode="spread")
    assert sampled(ScriptedEngine("ab", logprob=None)).chains


def test_stop_words_reach_the_engine() -> None:
    line = TaskLine.model_validate(
        {"custom_id": "t", "kind": "qa", "prompt": "?", "options": {"stop": ["END"]}}
    )
    assert {request.stop for request in requests_of("t", line)} == {("END",)}


@given(answers=st.lists(st.sampled_from("abc"), min_size=8, max_size=8), policy=st.sampled_from(Policy))
def test_recorded_chains_are_used_as_far_as_the_queue_would_have(answers: list[str], policy: Policy) -> None:
    options = {"k": 8, "early_exit": policy.value}
    found = sampled(ScriptedEngine(answers), options=options)
    line = TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?", "options": options})
    recorded = [
        Chain(index=i, answer=answer, logprob=-1.0, n_tokens=10, model="m")
        for i, answer in enumerate(answers)
    ]
    full = decide_task(line, recorded, [], calibrated=Thresholds())
    exit_ = simulate_exit(policy, line, recorded, [], full=full, calibrated=Thresholds())
    assert exit_.chains_used == len(found.chains)


ANSWERS = st.lists(
    st.tuples(st.sampled_from("aab"), st.sampled_from(["m", "n"]), st.floats(-3.0, -0.01)),
    min_size=8,
    max_size=8,
)
FITS = st.builds(
    lambda m, n, pair, none: FittedMerge(
        models=("m", "n"), weights={"m": m, "n": n}, pairs={("m", "n"): pair}, none=none
    ),
    *[st.floats(-3.0, 6.0)] * 2,
    *[st.floats(-3.0, 3.0)] * 2,
)
WEIGHTS = st.one_of(
    st.just(EQUAL),
    st.builds(PoolWeights, fitted=FITS),
    st.builds(
        lambda m, n: PoolWeights(model_weights={"m": m, "n": n}), st.floats(0.05, 20.0), st.floats(0.05, 20.0)
    ),
)


class Pool(ScriptedEngine):
    """Chains of two models with logprobs of their own."""

    def __init__(self, said: Sequence[tuple[str, str, float]]) -> None:
        super().__init__([answer for answer, _, _ in said])
        self._said = said

    def _chain(self, index: int) -> SampledChain:
        _, model, mean = self._said[index]
        return replace(super()._chain(index), model=model, logprob=10 * mean)


@example(
    said=[("a", "m", -0.1)] * 6 + [("b", "n", -0.1)] * 2,
    weights=PoolWeights(model_weights={"m": 0.05, "n": 20.0}),
    tau_conf=0.0,
)
@given(said=ANSWERS, weights=WEIGHTS, tau_conf=st.sampled_from([0.0, 0.3, 0.6]))
def test_a_lossless_exit_changes_neither_answer_nor_abstention_whatever_the_models_are_worth(
    said: list[tuple[str, str, float]], weights: PoolWeights, tau_conf: float
) -> None:
    line = TaskLine.model_validate(
        {"custom_id": "t", "kind": "qa", "prompt": "?", "options": {"k": 8, "early_exit": "lossless"}}
    )
    thresholds = Thresholds(tau_conf=tau_conf)
    found = sample_task(Pool(said), "t", line, thresholds=thresholds, weights=weights)
    recorded = [
        Chain(index=i, answer=answer, logprob=10 * mean, n_tokens=10, model=model)
        for i, (answer, model, mean) in enumerate(said)
    ]
    early, full = (
        decide_task(
            line,
            chains,
            [],
            calibrated=thresholds,
            fitted=weights.fitted,
            model_weights=weights.model_weights,
        )
        for chains in ([chain.as_chain() for chain in found.chains], recorded)
    )
    assert (early.answer, early.abstain) == (full.answer, full.abstain)


def test_where_a_fit_decides_lossless_asks_for_every_chain() -> None:
    fitted = FittedMerge(models=("m",), weights={"m": 1.0}, pairs={}, none=0.0)
    line = TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?"})
    found = sample_task(
        ScriptedEngine("a"), "t", line, thresholds=Thresholds(), weights=PoolWeights(fitted=fitted)
    )
    assert len(found.chains) == 8
    assert len(sampled(ScriptedEngine("a")).chains) < 8


def test_chains_that_are_no_longer_wanted_are_not_asked_for() -> None:
    engine, cancellation = ScriptedEngine("ab"), Cancellation()
    cancellation.give()
    line = TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?"})
    with pytest.raises(SamplingCancelledError):
        sample_task(engine, "t", line, thresholds=Thresholds(), cancellation=cancellation)
    assert engine.asked == []
