"""Decisions with a fitted posterior."""

from __future__ import annotations

import math

import pytest

from reasoner.chains import Chain
from reasoner.decisions import AbstainReason, Judgement, Rules, Thresholds
from reasoner.fitted import FittedMerge
from reasoner.fitted_decision import fitted_merge
from reasoner.outcomes import Outcome

FITTED = FittedMerge(
    models=("strong", "weak"),
    weights={"strong": math.log(8), "weak": math.log(2)},
    pairs={("strong", "weak"): -math.log(4)},
    none=0.0,
)


def said(*pairs: tuple[str, str | None]) -> list[Chain]:
    return [Chain(index=i, answer=answer, model=model) for i, (model, answer) in enumerate(pairs)]


def test_a_posterior_worked_by_hand() -> None:
    # exp(u): a has 8, b has 2, none has 1.
    decision = fitted_merge(said(("weak", "b"), ("strong", "a")), fitted=FITTED)
    assert decision.answer == "a"
    assert [c.posterior for c in decision.clusters] == pytest.approx([8 / 11, 2 / 11])
    assert decision.unanswered == pytest.approx(1 / 11)
    assert decision.weights == "fitted"
    assert decision.vote_margin == 0.5


def test_agreement_of_models_that_err_alike_counts_less_than_twice() -> None:
    # Together 8 * 2 / 4 = 4, less than the strong one alone: it copies the weak one's errors.
    decision = fitted_merge(said(("strong", "a"), ("weak", "a")), fitted=FITTED)
    assert decision.confidence == pytest.approx(4 / 5)


def test_a_model_with_several_chains_is_divided_over_its_answers() -> None:
    decision = fitted_merge(said(("strong", "a"), ("strong", "b"), ("strong", None)), fitted=FITTED)
    assert decision.clusters[0].posterior == pytest.approx(2 / 5)  # 8 ** (1/3) = 2, twice, and none
    assert decision.answer == "a"


def test_a_refuted_answer_leaves_and_the_rest_is_renormalised() -> None:
    refuted = Judgement(answer="a", verifier="math", outcome=Outcome.REFUTED)
    decision = fitted_merge(said(("strong", "a"), ("weak", "b")), [refuted], fitted=FITTED)
    assert decision.answer == "b"
    assert decision.confidence == pytest.approx(2 / 3)
    assert decision.clusters[1].refuted


def test_thresholds_act_as_in_any_merge() -> None:
    chains = said(("strong", "a"), ("weak", "b"))
    strict = Thresholds(tau_conf=0.9, lambda_=0.9)
    reasons = fitted_merge(chains, fitted=FITTED, thresholds=strict).abstain_reasons
    assert reasons == (AbstainReason.CONFIDENCE, AbstainReason.EMPTY_SET)
    unconfirmed = fitted_merge(chains, fitted=FITTED, rules=Rules(min_confirmations=1))
    assert unconfirmed.abstain_reasons == (AbstainReason.UNCONFIRMED,)


def test_without_an_answer_there_is_none() -> None:
    decision = fitted_merge(said(("strong", None)), fitted=FITTED)
    assert decision.abstain_reasons == (AbstainReason.NO_ANSWER,)
    assert decision.unanswered == 1.0
