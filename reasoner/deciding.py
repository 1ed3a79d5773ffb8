"""What MERGE and SPREAD share: from ranked clusters to a decision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import assert_never

from reasoner.abstention import abstain_reasons
from reasoner.chains import Chain
from reasoner.clusters import Bundle, Weighed, bundle
from reasoner.decisions import Alternative, Cluster, Decision, Judgement, Rules, SetRule, Thresholds
from reasoner.degree import merge_degree, merge_degree_corrected, semantic_entropy
from reasoner.equivalence import Normaliser, Relation
from reasoner.masses import in_order, log_masses, log_model_weights
from reasoner.sets import coverage_set, threshold_set, top_k_set


def decide(
    chains: Sequence[Chain],
    judgements: Sequence[Judgement],
    *,
    thresholds: Thresholds,
    rules: Rules,
    same: Relation,
    normalise: Normaliser,
    model_weights: Mapping[str, float] | None,
) -> Decision:
    """Return the decision of either mode; see ``reasoner.merge`` and ``reasoner.spread``."""
    weighed, bundles = weigh(
        chains, judgements, rules=rules, same=same, normalise=normalise, model_weights=model_weights
    )
    posterior, unanswered = posteriors(weighed, bundles)
    return assemble(
        weighed, bundles, posterior=posterior, unanswered=unanswered, thresholds=thresholds, rules=rules
    )


def weigh(
    chains: Sequence[Chain],
    judgements: Sequence[Judgement],
    *,
    rules: Rules,
    same: Relation,
    normalise: Normaliser,
    model_weights: Mapping[str, float] | None,
) -> tuple[Weighed, list[Bundle]]:
    """Return the chains with their masses, and their clusters, ranked."""
    ordered = in_order(chains)
    mean_logprobs, weights = log_masses(ordered)
    extra = log_model_weights(ordered, model_weights)
    weighed = Weighed(
        chains=ordered,
        mean_logprobs=mean_logprobs,
        log_mass=[a + b for a, b in zip(mean_logprobs, extra, strict=True)],
        weights=weights,
    )
    bundles = bundle(
        weighed, judgements, same=same, normalise=normalise, linkage=rules.linkage, mode=rules.mode
    )
    return weighed, bundles


def posteriors(weighed: Weighed, bundles: Sequence[Bundle]) -> tuple[list[float], float]:
    """Return each cluster's share of the mass that is not refuted, and the share that is unanswered."""
    live = [i for one in bundles if not one.standing.refuted for i in one.positions]
    silent = [i for i, chain in enumerate(weighed.chains) if chain.answer is None]
    if not live and not silent:
        return [0.0] * len(bundles), 0.0
    top = max(weighed.log_mass[i] for i in (*live, *silent))
    mass = {i: math.exp(weighed.log_mass[i] - top) for i in (*live, *silent)}
    total = math.fsum(mass.values())
    shares = [
        0.0 if one.standing.refuted else math.fsum(mass[i] for i in one.positions) / total for one in bundles
    ]
    return shares, math.fsum(mass[i] for i in silent) / total


def select(
    posterior: Sequence[float],
    scores: Sequence[float],
    *,
    rule: SetRule,
    thresholds: Thresholds,
    rules: Rules,
    n_chains: int,
) -> tuple[int, ...]:
    """Return the positions of the set S(y) among the candidates, which come in rank order.

    In SPREAD ``top_k`` and ``score`` act on the explanations' scores (Alg. 2), whose order is the rank.

    Args:
        posterior: Of each candidate.
        scores: exp(l) of each candidate's best member, in (0, 1].
        rule: The set rule in force.
        thresholds: lambda and tau_score.
        rules: set_k and alpha.
        n_chains: What ``set_k`` is when it is not given.
    """
    match rule:
        case "threshold":
            return threshold_set(posterior, lambda_=thresholds.lambda_)
        case "coverage":
            return coverage_set(posterior, alpha=rules.set_alpha)
        case "score":
            return tuple(i for i, score in enumerate(scores) if score > thresholds.tau_score)
        case "top_k":
            k = rules.set_k or n_chains
            return tuple(range(len(scores)))[:k] if rules.mode == "spread" else top_k_set(posterior, k=k)
        case _:
            assert_never(rule)


def assemble(
    weighed: Weighed,
    bundles: Sequence[Bundle],
    *,
    posterior: Sequence[float],
    unanswered: float,
    thresholds: Thresholds,
    rules: Rules,
) -> Decision:
    """Return the decision for ranked clusters of known posterior, refuted ones last."""
    n_live = sum(not one.standing.refuted for one in bundles)
    chosen = select(
        posterior[:n_live],
        [math.exp(one.best_l) for one in bundles[:n_live]],
        rule=rules.set_rule or ("threshold" if rules.mode == "merge" else "top_k"),
        thresholds=thresholds,
        rules=rules,
        n_chains=len(weighed.chains),
    )
    clusters = tuple(
        _cluster(weighed, one, rank=rank, posterior=posterior[rank], in_set=rank in chosen)
        for rank, one in enumerate(bundles)
    )
    best = clusters[0] if n_live else None
    n_chains = len({chain.index for chain in weighed.chains})  # one may list several explanations
    vote_margin = best.size / n_chains if best else 0.0
    confidence = 0.0
    if best:
        confidence = best.posterior if rules.mode == "merge" else best.score
    sizes = [cluster.size for cluster in clusters[:n_live]]
    return Decision(
        mode=rules.mode,
        answer=best.answer if best else None,
        clusters=clusters,
        alternatives=tuple(
            Alternative(answer=clusters[i].answer, posterior=clusters[i].posterior, cluster_id=i)
            for i in chosen
            if i != 0
        ),
        n_chains=n_chains,
        n_answered=len({index for cluster in clusters for index in cluster.members}),
        merge_degree=merge_degree(sizes),
        merge_degree_corrected=merge_degree_corrected(sizes),
        semantic_entropy=semantic_entropy(posterior[:n_live]),
        vote_margin=vote_margin,
        runner_up_gap=posterior[0] - max(posterior[1:n_live], default=0.0) if best else 0.0,
        confidence=confidence,
        unanswered=unanswered,
        weights=weighed.weights,
        abstain_reasons=abstain_reasons(
            clusters, vote_margin=vote_margin, confidence=confidence, thresholds=thresholds, rules=rules
        ),
    )


def _cluster(weighed: Weighed, one: Bundle, *, rank: int, posterior: float, in_set: bool) -> Cluster:
    return Cluster(
        id=rank,
        answer=one.answer,
        members=tuple(dict.fromkeys(weighed.chains[i].index for i in one.positions)),
        score=one.score,
        posterior=posterior,
        outcome=one.standing.outcome,
        confirmed_by=one.standing.confirmed_by,
        refuted=one.standing.refuted,
        disputed=one.standing.disputed,
        in_set=in_set,
    )
