"""Every verifier keeps these promises, for each kind of its claims; a new one is one more entry in ``CASES``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.nli import trained_model
from verifiers.claims import (
    EntailmentClaim,
    EqualityClaim,
    ProgramClaim,
    SatisfiesClaim,
    StepsClaim,
    SupportClaim,
)
from verifiers.code.verifier import CodeVerifier
from verifiers.entailment.verifier import EntailmentVerifier
from verifiers.facts.chunking import passages_of
from verifiers.facts.overlap import OverlapNli
from verifiers.facts.verifier import FactsVerifier
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Outcome, Verdict, Verifier

TIMEOUT_S = 60.0  # of wall time for some of them: a loaded machine is slow, not wrong
CPU_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One verifier, and claims of its kind whose verdicts are beyond doubt."""

    verifier: Callable[[], Any]
    true: Any
    false: Any
    unreadable: Any
    """A claim that nobody could judge."""

    endless: Any
    """A claim whose judging would take for ever."""

    endless_outcomes: frozenset[Outcome]
    """A program that loops fails its tests; an answer nobody can compute is not a wrong one."""

    endless_s: float = 0.5
    """Too little for it on any machine."""


FLU = passages_of("flu", "Fever is common in flu. A rash is not common in flu.")

CASES = {
    "code": Case(
        verifier=CodeVerifier,
        true=ProgramClaim(program="def f(x):\n    return x + 1", tests="assert f(1) == 2"),
        false=ProgramClaim(program="def f(x):\n    return x", tests="assert f(1) == 2"),
        unreadable=ProgramClaim(program="def f(x):\n    return x", tests="this is no test"),
        endless=ProgramClaim(program="def f(x):\n    while True: pass", tests="assert f(1) == 2"),
        endless_outcomes=frozenset({Outcome.REFUTED}),
    ),
    "entailment": Case(
        verifier=lambda: EntailmentVerifier.of_folder(trained_model()),
        true=EntailmentClaim(
            premise="Paris is the capital of France.", hypothesis="The capital of France is Paris."
        ),
        false=EntailmentClaim(
            premise="We have enough money to buy the house.", hypothesis="We don't have any money."
        ),
        unreadable=EntailmentClaim(premise="\ud800\u2603", hypothesis=""),
        endless=EntailmentClaim(premise="The road goes on. " * 2_200, hypothesis="The road has an end."),
        endless_outcomes=frozenset({Outcome.ABSTAINED}),
        endless_s=0.01,  # it does end: so long a text is read in some dozen passes
    ),
    "facts": Case(
        verifier=lambda: FactsVerifier(OverlapNli()),
        true=SupportClaim(statement="Fever is common in flu.", source=FLU),
        false=SupportClaim(statement="A rash is common in flu.", source=FLU),
        unreadable=SupportClaim(statement="\x00 ...", source=FLU),
        endless=SupportClaim(statement="Fever is common. " * 1_000, source=FLU),
        endless_outcomes=frozenset({Outcome.ABSTAINED}),
    ),
    "math": Case(
        verifier=partial(MathVerifier, cpu_limit_s=CPU_S),
        true=EqualityClaim(gold=r"\frac{1}{2}", answer="0.5"),
        false=EqualityClaim(gold="2", answer="3"),
        unreadable=EqualityClaim(gold="((((", answer="5"),
        endless=EqualityClaim(gold="9**9**9**9", answer="9**9**9**9 + 1"),
        endless_outcomes=frozenset({Outcome.ABSTAINED}),
    ),
    "math: satisfies": Case(
        verifier=partial(MathVerifier, cpu_limit_s=CPU_S),
        true=SatisfiesClaim(answer=r"\sqrt{2}", conditions=["x^2 = 2"], unknowns=["x"]),
        false=SatisfiesClaim(answer="3", conditions=["x^2 = 2"], unknowns=["x"]),
        unreadable=SatisfiesClaim(answer="3", conditions=["as above"], unknowns=["x"]),
        endless=SatisfiesClaim(answer="3", conditions=["e^{e^{e^{e^{e^{x}}}}} = 2"], unknowns=["x"]),
        endless_outcomes=frozenset({Outcome.ABSTAINED}),
    ),
    "math: steps": Case(
        verifier=partial(MathVerifier, cpu_limit_s=CPU_S),
        true=StepsClaim(text="So 3 * 4 = 12, and 12 - 5 = 7."),
        false=StepsClaim(text="So 3 * 4 = 13, and 13 - 5 = 8."),
        unreadable=StepsClaim(text="The answer is obvious."),
        endless=StepsClaim(text=r"$\sqrt{\sqrt{2}+\sqrt{3}}+\sqrt[3]{5}=3.1$ " * 900),
        endless_outcomes=frozenset({Outcome.ABSTAINED}),
    ),
}


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "code":
        request.getfixturevalue("needs_sandbox")
    return CASES[request.param]


@pytest.fixture(scope="module")
def verifier(case: Case) -> Iterator[Verifier[Any]]:
    made = case.verifier()
    yield made
    made.close()


def judge(verifier: Verifier[Any], claim: object) -> Verdict:
    return verifier.verify(claim, timeout_s=TIMEOUT_S)


def test_it_tells_true_from_false(verifier: Verifier[Any], case: Case) -> None:
    assert judge(verifier, case.true).outcome is Outcome.CONFIRMED
    assert judge(verifier, case.false).outcome is Outcome.REFUTED


def test_what_it_cannot_read_is_an_abstention_with_a_reason(verifier: Verifier[Any], case: Case) -> None:
    verdict = judge(verifier, case.unreadable)
    assert verdict.outcome is Outcome.ABSTAINED
    assert verdict.reason


def test_the_same_claim_gets_the_same_verdict(verifier: Verifier[Any], case: Case) -> None:
    for claim in (case.true, case.false, case.unreadable):
        first, again = judge(verifier, claim), judge(verifier, claim)
        assert (first.outcome, first.reason) == (again.outcome, again.reason)


def test_a_claim_without_end_comes_to_one(verifier: Verifier[Any], case: Case) -> None:
    assert verifier.verify(case.endless, timeout_s=case.endless_s).outcome in case.endless_outcomes
    assert judge(verifier, case.true).outcome is Outcome.CONFIRMED  # and the next claim is judged as ever


def test_verdicts_name_their_verifier_and_are_json(verifier: Verifier[Any], case: Case) -> None:
    for claim in (case.true, case.false, case.unreadable):
        verdict = judge(verifier, claim)
        assert (verdict.verifier, verdict.version) == (verifier.name, verifier.version)
        assert verdict.elapsed_s >= 0
        assert len(json.dumps(verdict.evidence, allow_nan=False)) < 100_000


def test_threads_may_share_it(verifier: Verifier[Any], case: Case) -> None:
    claims = [case.true, case.false] * 4
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda claim: judge(verifier, claim).outcome, claims))
    assert outcomes == [Outcome.CONFIRMED, Outcome.REFUTED] * 4


def test_many_claims_come_back_in_their_order(verifier: Any, case: Case) -> None:
    claims = [case.false, case.true, case.unreadable, case.true]
    outcomes = [verdict.outcome for verdict in verifier.verify_many(claims, timeout_s=TIMEOUT_S)]
    assert outcomes == [Outcome.REFUTED, Outcome.CONFIRMED, Outcome.ABSTAINED, Outcome.CONFIRMED]
