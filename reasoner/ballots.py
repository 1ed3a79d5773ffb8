"""Who gave which answer of a decided task: all that a decision under other weights of the models needs.

Which chains agree, what the verifiers refuted and which answer was right don't depend on weights. So they are counted
once, when a decision's truth comes back, and a night decides thousands of tasks again without their chains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reasoner.abstention import verifier_reasons
from reasoner.chains import Chain
from reasoner.decisions import Cluster, Rules
from reasoner.masses import in_order, log_masses, log_sum_exp


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotCluster:
    """One answer."""

    given: tuple[int, ...]
    """How many chains of each model gave it."""

    tie: int
    """Its place, from 0, among answers of equal score: by the highest l of a member, then by the lowest index."""

    mass: float
    """Its posterior under equal weights; 0 when it is refuted."""

    refuted: bool
    hindered: bool
    """Whether the verifiers' reasons to abstain fire where it is the best."""

    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """One task of MERGE."""

    models: tuple[str, ...]
    """Sorted."""

    sampled: tuple[int, ...]
    """Chains of each model, with and without an answer."""

    right: tuple[int, ...]
    """Chains of each model that are known to be right."""

    wrong: tuple[int, ...]
    """Chains of each model that are known to be wrong."""

    clusters: tuple[BallotCluster, ...]
    """Ranked as under equal weights: candidates best first, then refuted ones best first."""


def ballot_of(
    clusters: Sequence[Cluster],
    chains: Sequence[Chain],
    *,
    rules: Rules,
    right: Collection[int],
    wrong: Collection[int],
) -> Ballot:
    """Return the ballot of a decision in MERGE, whatever the weights it was made under.

    Args:
        clusters: The decision's; their scores and posteriors are not looked at.
        chains: All of the task's.
        rules: What the task asks of its verifiers.
        right: Indices of the chains that are known to be right.
        wrong: Likewise.

    Raises:
        InvalidChainError: As of ``forward_merge``.
    """
    ordered = in_order(chains)
    mean_logprobs, _ = log_masses(ordered)
    l_of = {chain.index: mean for chain, mean in zip(ordered, mean_logprobs, strict=True)}
    model_of = {chain.index: chain.model for chain in ordered}
    models = tuple(sorted({*model_of.values()}))

    def by_model(indices: Collection[int]) -> tuple[int, ...]:
        counts = Counter(model_of[i] for i in indices)
        return tuple(counts[model] for model in models)

    best_l = [max(l_of[i] for i in one.members) for one in clusters]
    scores = [log_sum_exp([l_of[i] for i in one.members]) for one in clusters]
    by_tie = sorted(range(len(clusters)), key=lambda c: (-best_l[c], clusters[c].members[0]))
    ties = {c: tie for tie, c in enumerate(by_tie)}
    ranked = sorted(range(len(clusters)), key=lambda c: (clusters[c].refuted, -scores[c], ties[c]))
    masses = _masses(clusters, l_of)
    return Ballot(
        models=models,
        sampled=by_model(model_of),
        right=by_model(right),
        wrong=by_model(wrong),
        clusters=tuple(
            BallotCluster(
                given=by_model(clusters[c].members),
                tie=ties[c],
                mass=masses[c],
                refuted=clusters[c].refuted,
                hindered=bool(verifier_reasons(clusters[c], rules)),
                right=not set(clusters[c].members).isdisjoint(right),
            )
            for c in ranked
        ),
    )


def _masses(clusters: Sequence[Cluster], l_of: dict[int, float]) -> list[float]:
    """Return each cluster's posterior under equal weights, as ``reasoner.deciding.posteriors`` does."""
    refuted = {i for one in clusters if one.refuted for i in one.members}
    top = max((mean for i, mean in l_of.items() if i not in refuted), default=0.0)
    mass = {i: math.exp(mean - top) for i, mean in l_of.items() if i not in refuted}
    total = math.fsum(mass.values())
    return [0.0 if one.refuted else math.fsum(mass[i] for i in one.members) / total for one in clusters]
