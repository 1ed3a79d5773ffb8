"""When to stop asking for chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from reasoner.chains import Chain
from reasoner.decisions import Rules, Thresholds
from reasoner.equivalence import Normaliser
from reasoner.masses import in_order, log_masses, log_model_weights
from reasoner.merge import forward_merge
from reasoner.normal_forms import stripped
from reasoner.sets import ROUNDING

MIN_PAPER = 4
"""The paper never stops before its fourth chain."""

LEADER_STAYS = 0.95
"""Adaptive-Consistency's threshold (Aggarwal et al. 2023, section 3)."""

CLEARANCE = 1e-9
"""What an inequality between sums must clear, so that rounding in another order cannot turn it."""


class Policy(StrEnum):
    """How eager to stop."""

    NONE = "none"
    PAPER = "paper"
    LOSSLESS = "lossless"
    ADAPTIVE = "adaptive"


def first_stop(policy: Policy, k: int) -> int:
    """Return how many chains the policy needs at the least: the size of the first wave."""
    match policy:
        case Policy.NONE:
            return k
        case Policy.PAPER | Policy.ADAPTIVE:  # four equal answers give the leader 31/32
            return min(MIN_PAPER, k)
        case Policy.LOSSLESS:
            return min(k // 2 + 1, k)
        case _:
            assert_never(policy)


def should_stop(
    policy: Policy,
    chains: Sequence[Chain],
    *,
    thresholds: Thresholds,
    rules: Rules,
    normalise: Normaliser = stripped,
    can_refute: bool = False,
    model_weights: Mapping[str, float] | None = None,
) -> bool:
    """Return whether the chains so far are enough of the ``rules.k`` planned.

    Chains are grouped by normal form only, which is finer than or equal to the task's equivalence, since the
    expensive relations are not to be asked after every wave. SPREAD never stops early: it looks for many
    explanations, and agreement is no reason to look no further.

    Args:
        policy: ``paper``: at least 4 chains, at least 75 % of them agree, and the decision would not abstain
            for a reason of its own (verifiers have not spoken yet). ``lossless``: no completion can change
            the answer or the abstention; see ``is_settled``. ``adaptive``: Adaptive-Consistency.
        chains: Those sampled so far, in any order, with and without answers.
        thresholds: In force for the decision.
        rules: With ``k``, the number of chains planned.
        normalise: The task's.
        can_refute: Verifiers will judge the clusters; then ``lossless`` never stops, because a refutation of
            the leader makes every rival matter again.
        model_weights: Those of the decision.

    Raises:
        InvalidChainError: A chain's numbers are impossible.
    """
    if len(chains) >= rules.k or policy is Policy.NONE:
        return len(chains) >= rules.k
    if rules.mode == "spread" or not chains:
        return False
    match policy:
        case Policy.PAPER:
            return _agrees(chains, thresholds, rules, normalise, model_weights)
        case Policy.LOSSLESS:
            verified = can_refute or rules.min_confirmations > 0 or rules.require_heterogeneous
            return not verified and is_settled(
                chains,
                thresholds=thresholds,
                rules=rules,
                normalise=normalise,
                model_weights=model_weights,
            )
        case Policy.ADAPTIVE:
            sizes = sorted((len(at) for at in _by_form(chains, normalise).values()), reverse=True)
            return bool(sizes) and leader_stays(sizes[0], sum(sizes[1:2])) >= LEADER_STAYS
        case _:
            assert_never(policy)


def leader_stays(leader: int, runner_up: int) -> float:
    """Return P(theta > 1/2) for theta ~ Beta(1 + leader, 1 + runner_up).

    The stopping rule of Adaptive-Consistency. For whole numbers it is a binomial tail:
    P(Binomial(leader + runner_up + 1, 1/2) <= leader). Four against none: 31/32.
    """
    n = leader + runner_up + 1
    # By the shorter tail; the ratio of two whole numbers is rounded once.
    return float(1 - sum(math.comb(n, i) for i in range(leader + 1, n + 1)) / 2**n)


def _agrees(
    chains: Sequence[Chain],
    thresholds: Thresholds,
    rules: Rules,
    normalise: Normaliser,
    model_weights: Mapping[str, float] | None,
) -> bool:
    if len(chains) < MIN_PAPER:
        return False
    unverified = replace(rules, min_confirmations=0, require_heterogeneous=False)
    decision = forward_merge(
        chains, thresholds=thresholds, rules=unverified, normalise=normalise, model_weights=model_weights
    )
    best = decision.best
    return best is not None and 4 * best.size >= 3 * len(chains) and not decision.abstain


def _by_form(chains: Sequence[Chain], normalise: Normaliser) -> dict[str, list[int]]:
    """Return the positions of each normal form."""
    by_form: dict[str, list[int]] = {}
    for i, chain in enumerate(chains):
        if chain.answer is not None:
            by_form.setdefault(normalise(chain.answer), []).append(i)
    return by_form


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """What is known of the leader (the form with the most chains) and what may still come."""

    leader: float
    """Mass of the leader's form."""

    rivals: float
    """Mass of all other forms, as if they were one answer: the task's relation may find that they are."""

    total: float
    """Mass of all chains, answered or not."""

    unseen: float
    """The most the remaining chains can weigh: exp(0) = 1 each, times the heaviest model."""

    leader_size: int
    rivals_size: int
    k: int
    remaining: int
    top_score: float
    """Highest exp(l) seen on an answer."""

    fixed_scores: bool
    """Whether ``top_score`` cannot rise."""


def is_settled(
    chains: Sequence[Chain],
    *,
    thresholds: Thresholds,
    rules: Rules,
    normalise: Normaliser = stripped,
    model_weights: Mapping[str, float] | None = None,
) -> bool:
    """Return whether no completion to ``rules.k`` chains changes the answer or whether MERGE abstains.

    Whatever the other chains say, whichever answers the task's relation later finds equal, whatever logprobs
    the unseen chains have. (One without a logprob would make the decision count votes, so both ways of
    weighing must agree.) Holds for decisions without verifiers; the set beside the answer may still change.
    """
    by_form = _by_form(in_order(chains), normalise)
    remaining = rules.k - len(chains)
    if not by_form:
        return remaining <= 0
    ordered = in_order(chains)
    leader = max(by_form.values(), key=len)
    if not _wording_is_settled(ordered, leader, by_form, remaining):
        return False
    flags = {
        _abstains(tally, thresholds, rules)
        if tally.leader > tally.rivals + tally.unseen + CLEARANCE
        else None
        for tally in _tallies(ordered, leader, rules.k, model_weights)
    }
    return len(flags) == 1 and None not in flags


def _wording_is_settled(
    chains: Sequence[Chain], leader: list[int], by_form: dict[str, list[int]], remaining: int
) -> bool:
    """Return whether the leader's form and its commonest wording stay in front in chains."""
    wordings: dict[str | None, int] = {}
    for i in leader:
        wordings[chains[i].answer] = wordings.get(chains[i].answer, 0) + 1
    first, second = (*sorted(wordings.values(), reverse=True), 0)[:2]
    others = max((len(at) for at in by_form.values() if at is not leader), default=0)
    return first > second + remaining and len(leader) > others + remaining


def _tallies(
    chains: Sequence[Chain], leader: list[int], k: int, model_weights: Mapping[str, float] | None
) -> list[_Tally]:
    """Return a tally for every way of weighing that the full run may use."""
    mean_logprobs, weights = log_masses(chains)
    ways = [mean_logprobs] if weights == "votes" else [mean_logprobs, [0.0] * len(chains)]
    extra = log_model_weights(chains, model_weights)
    heaviest = max(1.0, *model_weights.values()) if model_weights else 1.0
    answered = [i for i, chain in enumerate(chains) if chain.answer is not None]
    tallies = []
    for number, way in enumerate(ways):
        mass = [math.exp(a + b) for a, b in zip(way, extra, strict=True)]
        of_leader = math.fsum(mass[i] for i in leader)
        counts_votes = weights == "votes" or number == 1
        tallies.append(
            _Tally(
                leader=of_leader,
                rivals=math.fsum(mass[i] for i in answered) - of_leader,
                total=math.fsum(mass),
                unseen=(k - len(chains)) * heaviest,
                leader_size=len(leader),
                rivals_size=len(answered) - len(leader),
                k=k,
                remaining=k - len(chains),
                top_score=math.exp(max(way[i] for i in answered)),
                fixed_scores=counts_votes,
            )
        )
    return tallies


def _abstains(tally: _Tally, thresholds: Thresholds, rules: Rules) -> bool | None:
    """Return whether the full run surely abstains, surely does not, or may do either (``None``)."""
    highest = (tally.leader + tally.rivals + tally.unseen) / (tally.total + tally.unseen)
    lowest = tally.leader / (tally.total + tally.unseen)
    most = (tally.leader_size + tally.rivals_size + tally.remaining) / tally.k
    fires = [
        _below(tally.leader_size / tally.k, most, thresholds.tau_margin),
        _below(lowest, highest, thresholds.tau_conf),
        _set_is_empty(tally, lowest, highest, thresholds, rules),
    ]
    if True in fires:
        return True
    return None if None in fires else False


def _below(lowest: float, highest: float, threshold: float) -> bool | None:
    if highest < threshold - CLEARANCE:
        return True
    return False if lowest >= threshold + CLEARANCE or threshold == 0.0 else None


def _set_is_empty(
    tally: _Tally, lowest: float, highest: float, thresholds: Thresholds, rules: Rules
) -> bool | None:
    match rules.set_rule:
        case None | "threshold":
            return _below(lowest, highest, thresholds.lambda_)
        case "top_k":
            return False
        case "coverage":
            return rules.set_alpha <= ROUNDING
        case "score":
            if tally.top_score > thresholds.tau_score:
                return False
            return True if tally.fixed_scores or thresholds.tau_score >= 1.0 else None
        case _:
            assert_never(rules.set_rule)
