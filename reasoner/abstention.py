"""When a decision abstains, and why."""

from __future__ import annotations

from reasoner.decisions import AbstainReason, Cluster, Rules, Thresholds


def verifier_reasons(best: Cluster, rules: Rules) -> list[AbstainReason]:
    """Return which of the verifiers' reasons fire for the best cluster."""
    reasons = []
    if best.disputed:
        reasons.append(AbstainReason.DISAGREEMENT)
    if len(best.confirmed_by) < rules.min_confirmations:
        reasons.append(AbstainReason.UNCONFIRMED)
    kinds = {verifier.partition("/")[0] for verifier in best.confirmed_by}
    if rules.require_heterogeneous and len(kinds) < 2:
        reasons.append(AbstainReason.NOT_HETEROGENEOUS)
    return reasons


def abstain_reasons(
    clusters: tuple[Cluster, ...],
    *,
    vote_margin: float,
    confidence: float,
    thresholds: Thresholds,
    rules: Rules,
) -> tuple[AbstainReason, ...]:
    """Return every reason that fires, in the order of ``AbstainReason``.

    SPREAD looks at its set, its best score and the verifiers only (Alg. 2): many explanations with few votes
    each are what it is asked for, so a small vote margin is no fault there.
    """
    if not clusters:
        return (AbstainReason.NO_ANSWER,)
    best = clusters[0]
    if best.refuted:
        return (AbstainReason.ALL_REFUTED,)
    reasons = []
    if rules.mode == "merge" and vote_margin < thresholds.tau_margin:
        reasons.append(AbstainReason.VOTE_MARGIN)
    if confidence < thresholds.tau_conf:
        reasons.append(AbstainReason.CONFIDENCE)
    if not any(cluster.in_set for cluster in clusters):
        reasons.append(AbstainReason.EMPTY_SET)
    return (*reasons, *verifier_reasons(best, rules))
