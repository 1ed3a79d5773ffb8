"""Backward SPREAD (Alg. 2)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import AbstainReason, Judgement, Rules, Thresholds
from reasoner.errors import InvalidChainError, InvalidRuleError
from reasoner.outcomes import Outcome
from reasoner.spread import TEMPERATURES, backward_spread, temperature_plan


def scored(*pairs: tuple[str | None, float]) -> list[Chain]:
    """One-token chains by their score exp(l)."""
    return [
        Chain(index=i, answer=answer, logprob=min(0.0, math.log(score)), n_tokens=1)
        for i, (answer, score) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("k", "plan"),
    [
        (0, ()),
        (1, (0.3,)),
        (4, (0.3, 0.5, 0.7, 0.9)),
        (6, (0.3, 0.3, 0.5, 0.5, 0.7, 0.9)),
        (7, (0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.9)),
    ],
)
def test_the_remainder_goes_to_the_lower_temperatures(k: int, plan: tuple[float, ...]) -> None:
    assert temperature_plan(k) == plan


@given(st.integers(0, 200))
def test_temperatures_are_used_as_evenly_as_possible(k: int) -> None:
    counts = [temperature_plan(k).count(t) for t in TEMPERATURES]
    assert sum(counts) == k
    assert max(counts) - min(counts) <= 1
    assert counts == sorted(counts, reverse=True)


def test_a_negative_number_of_chains_is_refused() -> None:
    with pytest.raises(InvalidRuleError):
        temperature_plan(-1)


def test_duplicates_do_not_crowd_out_distinct_explanations() -> None:
    # Select-then-deduplicate, as printed in the paper, would keep flu alone.
    chains = scored(("flu", 0.9), ("flu", 0.8), ("cold", 0.6), ("covid", 0.5))
    decision = backward_spread(chains, rules=Rules(mode="spread", set_k=2))
    assert decision.answer == "flu"
    assert [a.answer for a in decision.alternatives] == ["cold"]


def test_an_explanations_score_is_its_best_chains() -> None:
    decision = backward_spread(scored(("flu", 0.4), ("cold", 0.6), ("flu", 0.7)))
    assert decision.answer == "flu"
    assert decision.confidence == pytest.approx(0.7)
    assert decision.clusters[0].posterior == pytest.approx(1.1 / 1.7)


def test_the_best_scored_explanation_may_not_be_the_most_frequent() -> None:
    decision = backward_spread(scored(("cold", 0.5), ("cold", 0.5), ("flu", 0.6)))
    assert decision.answer == "flu"
    assert decision.runner_up_gap < 0


def test_by_default_every_distinct_explanation_is_in_the_set() -> None:
    decision = backward_spread(scored(("a", 0.9), ("b", 0.01), ("a", 0.5), (None, 0.9)))
    assert [cluster.in_set for cluster in decision.clusters] == [True, True]


def test_tau_score_must_be_exceeded() -> None:
    rules = Rules(mode="spread", set_rule="score")
    chains = [
        Chain(index=0, answer="a", logprob=0.0, n_tokens=1),
        Chain(index=1, answer="b", logprob=math.log(0.5), n_tokens=1),
    ]
    at_half = backward_spread(chains, rules=rules, thresholds=Thresholds(tau_score=math.exp(math.log(0.5))))
    assert [cluster.in_set for cluster in at_half.clusters] == [True, False]
    below = backward_spread(chains, rules=rules, thresholds=Thresholds(tau_score=0.49))
    assert [cluster.in_set for cluster in below.clusters] == [True, True]


def test_an_empty_set_abstains() -> None:
    rules = Rules(mode="spread", set_rule="score")
    decision = backward_spread(scored(("a", 0.4)), rules=rules)
    assert decision.abstain_reasons == (AbstainReason.EMPTY_SET,)


def test_a_best_score_below_tau_conf_abstains() -> None:
    chains = scored(("a", 0.29))
    assert backward_spread(chains).abstain_reasons == (AbstainReason.CONFIDENCE,)
    at = Thresholds(tau_conf=math.exp(math.log(0.29)))
    assert not backward_spread(chains, thresholds=at).abstain


def test_many_explanations_with_a_vote_each_are_no_reason_to_abstain() -> None:
    decision = backward_spread(scored(*[(str(i), 0.8) for i in range(20)]))
    assert not decision.abstain
    assert decision.vote_margin == 0.05


def test_a_refuted_explanation_leaves() -> None:
    refuted = Judgement(answer="a", verifier="facts", outcome=Outcome.REFUTED)
    decision = backward_spread(scored(("a", 0.9), ("b", 0.5)), [refuted])
    assert decision.answer == "b"
    assert decision.clusters[0].posterior == 1.0


def test_without_logprobs_votes_break_the_ties() -> None:
    decision = backward_spread([Chain(index=i, answer=a) for i, a in enumerate("abb")])
    assert decision.answer == "b"
    assert decision.weights == "votes"
    assert decision.confidence == 1.0


def test_threshold_and_coverage_sets_act_on_the_posterior() -> None:
    chains = scored(("a", 0.6), ("b", 0.5), ("b", 0.5))
    threshold = backward_spread(chains, rules=Rules(mode="spread", set_rule="threshold"))
    assert [(c.answer, c.in_set) for c in threshold.clusters] == [("a", True), ("b", True)]
    coverage = backward_spread(chains, rules=Rules(mode="spread", set_rule="coverage", set_alpha=0.6))
    assert [(c.answer, c.in_set) for c in coverage.clusters] == [("a", False), ("b", True)]


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0.01, 1.0)), min_size=1, max_size=10),
    st.integers(1, 6),
)
def test_top_k_returns_k_distinct_explanations_whenever_there_are_k(
    pairs: list[tuple[str, float]], k: int
) -> None:
    decision = backward_spread(scored(*pairs), rules=Rules(mode="spread", set_k=k))
    chosen = [cluster for cluster in decision.clusters if cluster.in_set]
    assert len(chosen) == min(k, len({answer for answer, _ in pairs}))
    left_out = [cluster.score for cluster in decision.clusters if not cluster.in_set]
    assert min(cluster.score for cluster in chosen) >= max(left_out, default=0.0)


def test_a_chain_that_lists_several_explanations_votes_once_for_each() -> None:
    chains = [
        Chain(index=0, part=0, answer="flu", logprob=-0.5, n_tokens=1),
        Chain(index=0, part=1, answer="cold", logprob=-0.1, n_tokens=1),
        Chain(index=1, answer="flu", logprob=-0.7, n_tokens=1),
        Chain(index=2, answer=None, logprob=-1.0, n_tokens=1),
    ]
    decision = backward_spread(chains)
    assert [(c.answer, c.members) for c in decision.clusters] == [("cold", (0,)), ("flu", (0, 1))]
    assert (decision.n_chains, decision.n_answered) == (3, 2)
    assert decision.vote_margin == pytest.approx(1 / 3)
    assert decision == backward_spread(chains[::-1])


def test_two_wordings_of_one_explanation_in_one_list_are_one_vote() -> None:
    chains = [
        Chain(index=0, part=i, answer=a, logprob=-0.5, n_tokens=1) for i, a in enumerate(["flu", "grippe"])
    ]
    decision = backward_spread(chains, same=lambda one, other: True)
    assert [c.members for c in decision.clusters] == [(0,)]
    assert decision.vote_margin == 1.0


def test_the_same_part_of_a_chain_cannot_come_twice() -> None:
    with pytest.raises(InvalidChainError, match="occurs twice"):
        backward_spread([Chain(index=0, part=1, answer="a"), Chain(index=0, part=1, answer="b")])
