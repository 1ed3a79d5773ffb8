"""Forward MERGE, with examples worked by hand from Alg. 1 and the definitions of DESIGN.md section 4."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import AbstainReason, Decision, Judgement, Rules, Thresholds
from reasoner.equivalence import exact
from reasoner.errors import InvalidChainError, InvalidRuleError
from reasoner.merge import forward_merge
from reasoner.outcomes import Outcome


def votes(*answers: str | None) -> list[Chain]:
    return [Chain(index=i, answer=answer) for i, answer in enumerate(answers)]


def weighed(*pairs: tuple[str | None, float]) -> list[Chain]:
    """Chains of ten tokens each, by their mean token logprob."""
    return [
        Chain(index=i, answer=answer, logprob=10 * mean, n_tokens=10)
        for i, (answer, mean) in enumerate(pairs)
    ]


def said(answer: str, outcome: Outcome, verifier: str = "math") -> Judgement:
    return Judgement(answer=answer, verifier=verifier, outcome=outcome)


CHAINS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", None]),
        st.one_of(st.just(-0.5), st.floats(-5.0, 0.0)),
    ),
    max_size=12,
).map(lambda pairs: weighed(*pairs))


def test_the_hand_worked_example_of_algorithm_1() -> None:
    # l = ln 1/2, ln 1/4, ln 1/2, and a chain without an answer of l = ln 1/4: masses 1/2, 1/4, 1/2, 1/4.
    half, quarter = math.log(0.5), math.log(0.25)
    decision = forward_merge(weighed(("7", half), ("7", quarter), ("9", half), (None, quarter)))
    assert decision.answer == "7"
    best, other = decision.clusters
    assert best.score == pytest.approx(math.log(0.75))
    assert best.members == (0, 1)
    assert best.posterior == pytest.approx(0.5)
    assert other.posterior == pytest.approx(1 / 3)
    assert decision.unanswered == pytest.approx(1 / 6)
    assert decision.vote_margin == 0.5
    assert decision.merge_degree == pytest.approx(1 / ((2 / 3) ** 2 + (1 / 3) ** 2))
    assert decision.merge_degree_corrected == pytest.approx(3.0)  # one agreeing pair of three
    assert decision.semantic_entropy == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)))
    assert decision.runner_up_gap == pytest.approx(1 / 6)
    assert decision.confidence == best.posterior
    assert [(a.answer, a.cluster_id) for a in decision.alternatives] == [("9", 1)]
    assert not decision.abstain
    assert decision.weights == "logprobs"


def test_the_best_cluster_has_the_highest_score_not_the_most_chains() -> None:
    decision = forward_merge(weighed(("a", -3.0), ("a", -3.0), ("b", -0.1)))
    assert decision.answer == "b"
    assert decision.vote_margin == pytest.approx(1 / 3)


def test_a_missing_logprob_turns_posteriors_into_vote_shares() -> None:
    chains = [*weighed(("a", -3.0), ("b", -0.1)), Chain(index=2, answer="a", logprob=-1.0)]
    decision = forward_merge(chains)
    assert decision.weights == "votes"
    assert decision.answer == "a"
    assert decision.clusters[0].posterior == 2 / 3
    assert decision.clusters[0].score == math.log(2)


def test_a_chain_without_answer_or_logprob_weighs_as_much_as_a_chain_can() -> None:
    chains = [*weighed(("a", math.log(0.5))), Chain(index=1, answer=None)]
    decision = forward_merge(chains)
    assert decision.weights == "logprobs"
    assert decision.clusters[0].posterior == pytest.approx(1 / 3)


def test_garbage_lowers_confidence() -> None:
    clean, dirty = forward_merge(votes("a", "a")), forward_merge(votes("a", "a", None, None))
    assert clean.confidence == 1.0
    assert dirty.confidence == 0.5
    assert dirty.vote_margin == 0.5
    assert dirty.merge_degree == clean.merge_degree == 1.0


def test_the_representative_is_the_majority_wording() -> None:
    decision = forward_merge(votes("1/2", "0.5", "0.5", "x"), same=lambda a, b: {a, b} <= {"1/2", "0.5"})
    assert decision.answer == "0.5"


def test_a_tied_wording_goes_to_the_higher_l() -> None:
    assert forward_merge(weighed(("A", -0.5), ("a", -0.4)), normalise=str.casefold).answer == "a"


def test_a_tied_wording_of_equal_l_goes_to_the_lower_index() -> None:
    assert forward_merge(votes("A", "a"), normalise=str.casefold).answer == "A"
    assert forward_merge(votes("A", "a")[::-1], normalise=str.casefold).answer == "A"


def test_tied_clusters_go_to_the_higher_l() -> None:
    # Both masses are exactly 1/2 + 1/2: twice l = -ln 2, and l = 0.
    decision = forward_merge(weighed(("a", -math.log(2)), ("a", -math.log(2)), ("b", 0.0)))
    assert decision.clusters[0].score == decision.clusters[1].score == 0.0
    assert decision.answer == "b"


def test_tied_clusters_of_equal_l_go_to_the_lower_index() -> None:
    assert forward_merge(votes("b", "a", "a", "b")).answer == "b"


def test_thresholds_are_inclusive_where_the_definition_says_so() -> None:
    # posterior = vote margin = 1/4 exactly: neither below 1/4, and inside the set.
    exactly = Thresholds(lambda_=0.25, tau_margin=0.25, tau_conf=0.25)
    decision = forward_merge(votes("a", "b", "c", "d"), thresholds=exactly)
    assert not decision.abstain
    assert [cluster.in_set for cluster in decision.clusters] == [True] * 4


@pytest.mark.parametrize(
    ("thresholds", "reason"),
    [
        (Thresholds(tau_margin=0.6, tau_conf=0, lambda_=0), AbstainReason.VOTE_MARGIN),
        (Thresholds(tau_margin=0, tau_conf=0.6, lambda_=0), AbstainReason.CONFIDENCE),
        (Thresholds(tau_margin=0, tau_conf=0, lambda_=0.6), AbstainReason.EMPTY_SET),
    ],
)
def test_each_threshold_abstains_for_its_own_reason(thresholds: Thresholds, reason: AbstainReason) -> None:
    decision = forward_merge(votes("a", "b"), thresholds=thresholds)
    assert decision.abstain_reasons == (reason,)
    assert decision.answer == "a"


def test_confidence_acts_on_the_posterior_so_that_size_alone_does_not_raise_it() -> None:
    # Ten chains for a: logsumexp is 2.3, the posterior is 1/4 of forty.
    decision = forward_merge(votes(*["a"] * 10, *[str(i) for i in range(30)]))
    assert decision.clusters[0].score > 2
    assert AbstainReason.CONFIDENCE in decision.abstain_reasons


def test_a_refuted_cluster_leaves_and_the_rest_is_renormalised() -> None:
    decision = forward_merge(votes("a", "a", "a", "b", None), [said("a", Outcome.REFUTED)])
    assert decision.answer == "b"
    assert decision.clusters[0].posterior == 0.5  # of b and the silent chain
    assert decision.vote_margin == 0.2  # of all k
    assert decision.merge_degree == 1.0
    refuted = decision.clusters[1]
    assert (refuted.refuted, refuted.posterior, refuted.members) == (True, 0.0, (0, 1, 2))
    assert decision.n_answered == 4


def test_all_refuted_gives_no_answer_and_says_so() -> None:
    decision = forward_merge(votes("a", "b"), [said("a", Outcome.REFUTED), said("b", Outcome.REFUTED)])
    assert decision.answer is None
    assert decision.best is None
    assert decision.abstain_reasons == (AbstainReason.ALL_REFUTED,)
    assert decision.merge_degree == 0.0
    assert len(decision.clusters) == 2


@pytest.mark.parametrize("chains", [[], votes(None), votes(None, None)])
def test_no_answer_at_all_abstains(chains: list[Chain]) -> None:
    decision = forward_merge(chains)
    assert decision.answer is None
    assert decision.abstain_reasons == (AbstainReason.NO_ANSWER,)
    assert (decision.confidence, decision.vote_margin, decision.merge_degree) == (0.0, 0.0, 0.0)


def test_heterogeneous_verifiers_that_disagree_abstain() -> None:
    judged = [said("a", Outcome.CONFIRMED, "math"), said("a", Outcome.REFUTED, "code")]
    decision = forward_merge(votes("a", "a", "b"), judged)
    assert decision.answer == "a"
    assert decision.abstain_reasons == (AbstainReason.DISAGREEMENT,)
    assert decision.clusters[0].outcome is Outcome.ABSTAINED


def test_a_dispute_about_a_rival_does_not_abstain() -> None:
    judged = [said("b", Outcome.CONFIRMED, "math"), said("b", Outcome.REFUTED, "code")]
    assert not forward_merge(votes("a", "a", "b"), judged).abstain


def test_two_verifiers_of_one_kind_that_differ_refute() -> None:
    judged = [said("a", Outcome.CONFIRMED, "code/1"), said("a", Outcome.REFUTED, "code/2")]
    assert forward_merge(votes("a", "a", "b"), judged).answer == "b"


def test_an_abstained_verdict_changes_nothing() -> None:
    chains = votes("a", "a", "b")
    decision, plain = forward_merge(chains, [said("a", Outcome.ABSTAINED)]), forward_merge(chains)
    assert decision.clusters[0].outcome is Outcome.ABSTAINED
    assert decision.clusters[0].posterior == plain.clusters[0].posterior
    assert not decision.abstain


def test_an_abstained_verdict_is_no_confirmation() -> None:
    rules = Rules(min_confirmations=1)
    decision = forward_merge(votes("a"), [said("a", Outcome.ABSTAINED)], rules=rules)
    assert decision.abstain_reasons == (AbstainReason.UNCONFIRMED,)
    assert not forward_merge(votes("a"), [said("a", Outcome.CONFIRMED)], rules=rules).abstain


def test_one_verifier_counts_once_however_many_wordings_it_confirmed() -> None:
    judged = [said("1/2", Outcome.CONFIRMED), said("0.5", Outcome.CONFIRMED)]
    rules = Rules(min_confirmations=2)
    decision = forward_merge(votes("1/2", "0.5"), judged, rules=rules, same=lambda *_: True)
    assert decision.abstain_reasons == (AbstainReason.UNCONFIRMED,)


def test_heterogeneous_confirmation_needs_two_kinds() -> None:
    rules = Rules(require_heterogeneous=True)
    one_kind = [said("a", Outcome.CONFIRMED, "code/1"), said("a", Outcome.CONFIRMED, "code/2")]
    decision = forward_merge(votes("a"), one_kind, rules=rules)
    assert decision.abstain_reasons == (AbstainReason.NOT_HETEROGENEOUS,)
    both = [*one_kind, said("a", Outcome.CONFIRMED, "facts")]
    assert not forward_merge(votes("a"), both, rules=rules).abstain


def test_a_verifier_that_tells_two_answers_apart_splits_their_cluster() -> None:
    judged = [said("f1", Outcome.REFUTED, "code"), said("f2", Outcome.CONFIRMED, "code")]
    decision = forward_merge(votes("f1", "f1", "f2", "f3"), judged, same=lambda *_: True)
    assert decision.answer == "f2"
    assert decision.clusters[0].members == (2, 3)  # what nobody judged stays with what was confirmed
    assert decision.clusters[1].refuted


def test_a_confirmed_wording_is_handed_out_before_a_commoner_unjudged_one() -> None:
    judged = [said("f2", Outcome.CONFIRMED, "code"), said("f1", Outcome.ABSTAINED, "code")]
    assert forward_merge(votes("f1", "f1", "f2"), judged, same=lambda *_: True).answer == "f2"


def test_a_refuted_wording_takes_its_unjudged_cluster_along() -> None:
    decision = forward_merge(
        votes("1/2", "0.5", "3"), [said("1/2", Outcome.REFUTED)], same=lambda a, b: {a, b} == {"1/2", "0.5"}
    )
    assert decision.answer == "3"


def test_judgements_are_matched_after_normalisation() -> None:
    decision = forward_merge(votes(" a ", "b", "b"), [said("a", Outcome.CONFIRMED)])
    assert decision.clusters[1].confirmed_by == ("math",)


def test_a_judgement_about_an_unknown_answer_is_ignored() -> None:
    assert forward_merge(votes("a"), [said("z", Outcome.REFUTED)]) == forward_merge(votes("a"))


def test_cannot_tell_is_not_merged() -> None:
    assert len(forward_merge(votes("a", "b"), same=lambda *_: None).clusters) == 2


def test_model_weights_multiply_mass_but_not_the_vote_margin() -> None:
    chains = [
        Chain(index=0, answer="a", model="big"),
        Chain(index=1, answer="b", model="small"),
        Chain(index=2, answer="b", model="small"),
    ]
    decision = forward_merge(chains, model_weights={"big": 3.0})
    assert decision.answer == "a"
    assert decision.clusters[0].posterior == pytest.approx(0.6)
    assert decision.vote_margin == pytest.approx(1 / 3)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_model_weight_is_refused(weight: float) -> None:
    with pytest.raises(InvalidRuleError):
        forward_merge(votes("a"), model_weights={"default": weight})


@pytest.mark.parametrize(
    "chain",
    [
        Chain(index=0, answer="a", logprob=0.1, n_tokens=1),
        Chain(index=0, answer="a", logprob=math.nan, n_tokens=1),
        Chain(index=0, answer="a", logprob=-math.inf, n_tokens=1),
        Chain(index=0, answer="a", logprob=-1.0, n_tokens=0),
        Chain(index=0, answer=None, logprob=-1.0, n_tokens=-3),
        Chain(index=-1, answer="a"),
    ],
)
def test_an_impossible_chain_is_refused_and_named(chain: Chain) -> None:
    with pytest.raises(InvalidChainError) as caught:
        forward_merge([chain, Chain(index=1, answer="b")])
    assert caught.value.index == chain.index


def test_an_index_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InvalidChainError, match="twice"):
        forward_merge([Chain(index=0, answer="a"), Chain(index=0, answer="b")])


def test_probability_zero_mass_survives_without_dividing_by_zero() -> None:
    decision = forward_merge(weighed(("a", -2000.0), ("b", -2900.0)))
    assert decision.clusters[0].posterior == 1.0
    assert decision.clusters[1].posterior == 0.0
    assert decision.answer == "a"


def test_the_mode_is_merge_whatever_the_rules_say() -> None:
    assert forward_merge(votes("a"), rules=Rules(mode="spread")).mode == "merge"


@given(CHAINS, st.randoms())
def test_the_order_of_chains_changes_nothing(chains: list[Chain], random: object) -> None:
    shuffled = list(chains)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert forward_merge(shuffled, same=_vowels) == forward_merge(chains, same=_vowels)


def _vowels(left: str, right: str) -> bool | None:
    return {"ab": True, "cd": None}.get(left + right, False)


@given(CHAINS)
def test_posteriors_with_the_unanswered_share_sum_to_one(chains: list[Chain]) -> None:
    decision = forward_merge(chains)
    total = math.fsum(cluster.posterior for cluster in decision.clusters) + decision.unanswered
    assert total == pytest.approx(1.0 if chains else 0.0)


@given(CHAINS, st.sets(st.sampled_from("abcd")))
def test_posteriors_sum_to_one_without_what_was_refuted(chains: list[Chain], refuted: set[str]) -> None:
    decision = forward_merge(chains, [said(answer, Outcome.REFUTED) for answer in refuted])
    total = math.fsum(cluster.posterior for cluster in decision.clusters) + decision.unanswered
    alive = any(chain.answer not in refuted for chain in chains)
    assert total == pytest.approx(1.0 if alive else 0.0)
    kept = [chain for chain in chains if chain.answer not in refuted]
    alone = forward_merge(kept)
    assert decision.answer == alone.answer
    assert decision.merge_degree == alone.merge_degree
    assert decision.confidence == pytest.approx(alone.confidence)


@given(CHAINS)
def test_numbers_stay_in_their_ranges(chains: list[Chain]) -> None:
    decision = forward_merge(chains)
    n = len([cluster for cluster in decision.clusters if not cluster.refuted])
    assert 0.0 <= decision.vote_margin <= 1.0
    assert 0.0 <= decision.confidence <= 1.0
    assert 0.0 <= decision.runner_up_gap <= 1.0
    assert 0.0 <= decision.semantic_entropy <= math.log(max(n, 1)) + 1e-12
    if n:
        assert 1.0 <= decision.merge_degree <= n * (1 + 1e-12)
        assert decision.merge_degree_corrected >= decision.merge_degree * (1 - 1e-12)


@given(CHAINS)
def test_a_decision_is_json(chains: list[Chain]) -> None:
    decision = forward_merge(chains)
    text = json.dumps(decision.to_json(), allow_nan=False)
    assert json.loads(text)["abstain_flag"] is decision.abstain


@given(CHAINS)
def test_coarser_equivalence_never_has_more_clusters(chains: list[Chain]) -> None:
    fine: Decision = forward_merge(chains, same=exact)
    coarse = forward_merge(chains, same=_vowels)
    assert len(coarse.clusters) <= len(fine.clusters)
    assert coarse.merge_degree <= fine.merge_degree
