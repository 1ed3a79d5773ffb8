"""Early exit on recorded chains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.decisions import Thresholds
from reasoner.early_exit import Policy, first_stop
from worker.deciding import decide_task
from worker.exiting import Exit, simulate_exit
from worker.merging import MergeLine
from worker.sampling import recorded_chains

answers = st.lists(st.sampled_from(["x", "X.", "y", "z", None]), min_size=1, max_size=12)
weighed = st.one_of(st.none(), st.floats(-60, 0))


def simulated(policy: Policy, chains: list[dict[str, Any]], **fields: object) -> Exit:
    line = MergeLine.model_validate({"custom_id": "t", "kind": "qa", "chains": chains, **fields})
    recorded = recorded_chains(line)
    full = decide_task(line, recorded, [], calibrated=Thresholds())
    return simulate_exit(policy, line, recorded, [], full=full, calibrated=Thresholds())


def chains(*given_answers: str | None, n_tokens: int | None = None) -> list[dict[str, Any]]:
    tokens = {} if n_tokens is None else {"n_tokens": n_tokens}
    return [{"text": "", "answer": answer, **tokens} for answer in given_answers]


@given(given_answers=answers, logprobs=st.lists(weighed, min_size=12, max_size=12))
def test_lossless_never_differs_from_all_chains(
    given_answers: list[str | None], logprobs: list[float | None]
) -> None:
    recorded = [
        {"text": "", "answer": answer, "logprob": logprob, "n_tokens": 10}
        for answer, logprob in zip(given_answers, logprobs, strict=False)
    ]
    found = simulated(Policy.LOSSLESS, recorded)
    assert found.early.answer == found.full.answer
    assert found.early.abstain == found.full.abstain


@given(given_answers=answers, policy=st.sampled_from(Policy))
def test_no_policy_stops_before_the_fewest_chains_it_needs(
    given_answers: list[str | None], policy: Policy
) -> None:
    found = simulated(policy, chains(*given_answers))
    k = len(given_answers)
    assert first_stop(policy, k) <= found.chains_used <= k
    assert found.to_json()["chains_saved"] == k - found.chains_used


def test_none_uses_all_chains_and_so_does_spread() -> None:
    assert simulated(Policy.NONE, chains(*["x"] * 8)).chains_used == 8
    assert simulated(Policy.ADAPTIVE, chains(*["x"] * 8), mode="spread").chains_used == 8


def test_the_number_of_chains_is_the_record_s_not_the_option_s() -> None:
    assert simulated(Policy.LOSSLESS, chains(*["x"] * 20), options={"k": 4}).chains_used > 4


@pytest.mark.parametrize(("n_tokens", "saved"), [(10, 40), (None, None)])
def test_tokens_saved_are_those_of_the_chains_not_sampled(n_tokens: int | None, saved: int | None) -> None:
    assert simulated(Policy.PAPER, chains(*["x"] * 8, n_tokens=n_tokens)).tokens_saved == saved
