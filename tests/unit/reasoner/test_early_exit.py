"""When to stop: the promises of each policy."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from reasoner.chains import Chain
from reasoner.decisions import Linkage, Rules, SetRule, Thresholds
from reasoner.early_exit import Policy, first_stop, is_settled, leader_stays, should_stop
from reasoner.errors import InvalidChainError
from reasoner.merge import forward_merge

DEFAULTS = Thresholds()


def votes(*answers: str | None) -> list[Chain]:
    return [Chain(index=i, answer=answer) for i, answer in enumerate(answers)]


def stops(policy: Policy, *answers: str | None, k: int = 8, **rules: object) -> bool:
    return should_stop(
        policy,
        votes(*answers),
        thresholds=DEFAULTS,
        rules=Rules(k=k, **rules),  # type: ignore[arg-type]  # each test names real fields
    )


def test_none_stops_only_when_all_chains_are_there() -> None:
    assert not stops(Policy.NONE, *["a"] * 7)
    assert stops(Policy.NONE, *["a"] * 8)


@pytest.mark.parametrize("policy", list(Policy))
def test_every_policy_stops_when_nothing_is_left_to_ask(policy: Policy) -> None:
    assert stops(policy, "a", "b", "c", None, k=4)


@pytest.mark.parametrize("policy", list(Policy))
def test_no_policy_stops_before_the_first_chain(policy: Policy) -> None:
    assert not stops(policy, k=1)


@pytest.mark.parametrize("policy", list(Policy))
def test_spread_looks_further_however_many_agree(policy: Policy) -> None:
    assert not stops(policy, *["a"] * 7, mode="spread")


def test_paper_needs_four_chains() -> None:
    assert not stops(Policy.PAPER, "a", "a", "a")
    assert stops(Policy.PAPER, "a", "a", "a", "a")


def test_paper_stops_at_exactly_three_quarters() -> None:
    assert stops(Policy.PAPER, "a", "a", "b", "a")
    assert not stops(Policy.PAPER, "a", "a", "a", "b", "b")


def test_paper_counts_chains_without_an_answer() -> None:
    assert not stops(Policy.PAPER, "a", "a", None, None)


def test_paper_goes_on_while_the_decision_would_abstain() -> None:
    strict = Thresholds(tau_conf=0.9)
    chains = votes("a", "a", "a", "b")
    assert not should_stop(Policy.PAPER, chains, thresholds=strict, rules=Rules(k=8))


def test_paper_does_not_wait_for_verifiers_that_speak_later() -> None:
    assert stops(Policy.PAPER, *["a"] * 4, min_confirmations=1)


def test_adaptive_stops_at_four_equal_answers_as_in_its_paper() -> None:
    assert not stops(Policy.ADAPTIVE, "a", "a", "a")
    assert stops(Policy.ADAPTIVE, "a", "a", "a", "a")
    assert not stops(Policy.ADAPTIVE, "a", "a", "a", "a", "b")


def test_adaptive_needs_an_answer() -> None:
    assert not stops(Policy.ADAPTIVE, None, None, None)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_leaders_chance_is_the_beta_integral(a: int, b: int) -> None:
    assert leader_stays(a, b) == pytest.approx(float(1 - betainc(a + 1, b + 1, 0.5)), abs=1e-12)


def test_the_leaders_chance_worked_by_hand() -> None:
    assert leader_stays(4, 0) == 31 / 32
    assert leader_stays(0, 0) == 0.5
    assert leader_stays(2, 2) == 0.5


def test_lossless_stops_when_the_rest_cannot_catch_up() -> None:
    assert not stops(Policy.LOSSLESS, *["a"] * 4)
    assert stops(Policy.LOSSLESS, *["a"] * 5)


def test_lossless_counts_all_rivals_as_one() -> None:
    # a leads 4 : 1 : 1 with one to come: merged rivals would have 3 at most.
    assert stops(Policy.LOSSLESS, *"aaaabc", None)
    # a leads 3 : 1 : 1 : ...: if b, c and what comes are one answer, a loses.
    assert not stops(Policy.LOSSLESS, *"aaabc", None, None)


def test_lossless_does_not_stop_while_a_verifier_may_refute_the_leader() -> None:
    full = votes(*["a"] * 7)
    assert not should_stop(Policy.LOSSLESS, full, thresholds=DEFAULTS, rules=Rules(k=8), can_refute=True)
    assert not stops(Policy.LOSSLESS, *["a"] * 7, min_confirmations=1)
    assert not stops(Policy.LOSSLESS, *["a"] * 7, require_heterogeneous=True)


def test_lossless_waits_while_the_abstention_is_open() -> None:
    strict = Thresholds(tau_margin=0.9, tau_conf=0.0, lambda_=0.0)
    six = votes(*["a"] * 6)
    assert not should_stop(Policy.LOSSLESS, six, thresholds=strict, rules=Rules(k=8))


def test_lossless_stops_once_abstention_is_sure() -> None:
    strict = Thresholds(tau_margin=0.9, tau_conf=0.0, lambda_=0.0)
    chains = votes(*["a"] * 6, None)
    assert should_stop(Policy.LOSSLESS, chains, thresholds=strict, rules=Rules(k=8))
    assert forward_merge(chains, thresholds=strict).abstain


def test_first_stop_is_the_earliest_any_stream_can_stop() -> None:
    for policy, k in product(Policy, range(1, 13)):
        earliest = min(n for n in range(1, k + 1) if stops(policy, *["a"] * n, k=k))
        assert earliest == first_stop(policy, k)


def test_an_impossible_chain_is_refused() -> None:
    bad = [Chain(index=0, answer="a", logprob=1.0, n_tokens=1)]
    with pytest.raises(InvalidChainError):
        should_stop(Policy.LOSSLESS, bad, thresholds=DEFAULTS, rules=Rules(k=2))


answers = st.sampled_from(["a", "a", "a", "a", "b", "c", "A", None])
logprobs = st.sampled_from([None, 0.0, -0.5, -1.0, -3.0])
shares = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 1.0])


@st.composite
def streams(draw: st.DrawFn) -> list[Chain]:
    with_logprobs = draw(st.sampled_from([logprobs, st.floats(-2.0, 0.0), st.just(None)]))
    return [
        Chain(
            index=i,
            answer=draw(answers),
            logprob=draw(with_logprobs),
            n_tokens=1,
            model=draw(st.sampled_from("mn")),
        )
        for i in range(draw(st.integers(1, 9)))
    ]


@settings(max_examples=400)
@given(
    stream=streams(),
    taus=st.tuples(shares, shares, shares, shares),
    merged=st.sets(st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")])),
    set_rule=st.sampled_from([None, "threshold", "top_k", "coverage", "score"]),
    linkage=st.sampled_from(["single", "complete", "guarded"]),
    model_weights=st.sampled_from([None, {"m": 0.5}, {"m": 3.0, "n": 0.2}]),
)
def test_lossless_never_changes_the_answer_or_the_abstention(
    *,
    stream: list[Chain],
    taus: tuple[float, float, float, float],
    merged: set[tuple[str, str]],
    set_rule: SetRule | None,
    linkage: Linkage,
    model_weights: dict[str, float] | None,
) -> None:
    thresholds = Thresholds(lambda_=taus[0], tau_margin=taus[1], tau_conf=taus[2], tau_score=taus[3])
    rules = Rules(k=len(stream), set_rule=set_rule, set_alpha=taus[3], linkage=linkage)

    def decided(chains: list[Chain]) -> tuple[str | None, bool]:
        decision = forward_merge(
            chains,
            thresholds=thresholds,
            rules=rules,
            same=lambda a, b: (a, b) in merged,
            normalise=str.casefold,
            model_weights=model_weights,
        )
        return decision.answer, decision.abstain

    full = decided(stream)
    for n in range(1, len(stream)):
        if is_settled(
            stream[:n],
            thresholds=thresholds,
            rules=rules,
            normalise=str.casefold,
            model_weights=model_weights,
        ):
            assert decided(stream[:n]) == full


@pytest.mark.parametrize("seen", ["aaa", "aaaa", "aaab", "aaaab", "aaaaa"])
@pytest.mark.parametrize("tau", [0.0, 0.3, 0.5, 0.6, 0.7])
def test_lossless_holds_for_every_completion(seen: str, tau: float) -> None:
    k = 6
    thresholds = Thresholds(tau_margin=tau, tau_conf=tau, lambda_=0.0)
    start = [Chain(index=i, answer=a, logprob=-0.2, n_tokens=1) for i, a in enumerate(seen)]
    if not is_settled(start, thresholds=thresholds, rules=Rules(k=k)):
        return
    now = forward_merge(start, thresholds=thresholds)
    kinds = list(product(["a", "b", "z", None], [0.0, -9.0, None]))
    for rest in product(kinds, repeat=k - len(seen)):
        more = [
            Chain(index=len(seen) + i, answer=a, logprob=l_i, n_tokens=1) for i, (a, l_i) in enumerate(rest)
        ]
        full = forward_merge([*start, *more], thresholds=thresholds)
        assert (full.answer, full.abstain) == (now.answer, now.abstain)


def test_lossless_expects_that_a_chain_without_logprob_may_still_turn_everything_into_votes() -> None:
    # By mass a leads 3 : 0; by votes b, c and what comes may be one answer with 3 as well, and a lower index.
    faint = [Chain(index=i, answer=answer, logprob=-20.0, n_tokens=1) for i, answer in enumerate("bc")]
    sure = [Chain(index=i, answer="a", logprob=0.0, n_tokens=1) for i in (2, 3, 4)]
    assert not is_settled([*faint, *sure], thresholds=DEFAULTS, rules=Rules(k=6))
    last = Chain(index=5, answer="z")
    full = forward_merge([*faint, *sure, last], same=lambda a, b: "a" not in {a, b})
    assert full.answer == "b"


def test_lossless_needs_both_ways_of_weighing_to_agree_on_the_abstention() -> None:
    # By mass a has at least 3 of 4; by votes at most 4 of 8, since four silent chains count in full.
    sure = [Chain(index=i, answer="a", logprob=0.0, n_tokens=1) for i in range(3)]
    silent = [Chain(index=i, answer=None, logprob=-20.0, n_tokens=1) for i in range(3, 7)]
    thresholds = Thresholds(tau_conf=0.6)
    assert not is_settled([*sure, *silent], thresholds=thresholds, rules=Rules(k=8))
    ends = [Chain(index=7, answer="a", logprob=0.0, n_tokens=1), Chain(index=7, answer="a")]
    abstained = {forward_merge([*sure, *silent, end], thresholds=thresholds).abstain for end in ends}
    assert abstained == {True, False}


def test_lossless_expects_the_heaviest_model_to_speak_last() -> None:
    five = votes(*["a"] * 5)
    assert is_settled(five, thresholds=DEFAULTS, rules=Rules(k=8))
    weights = {"heavy": 3.0}
    assert not is_settled(five, thresholds=DEFAULTS, rules=Rules(k=8), model_weights=weights)
    rest = [Chain(index=i, answer="b", model="heavy") for i in (5, 6, 7)]
    assert forward_merge([*five, *rest], model_weights=weights).answer == "b"


def test_lossless_saves_chains_on_an_easy_stream() -> None:
    # Otherwise the property above would hold of a policy that never stops.
    chains = [Chain(index=i, answer="a", logprob=-0.2, n_tokens=1) for i in range(6)]
    assert should_stop(Policy.LOSSLESS, chains[:5], thresholds=DEFAULTS, rules=Rules(k=8))
