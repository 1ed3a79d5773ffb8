"""MERGE with a fit instead of masses: for pools of models whose labels have been learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reasoner.chains import Chain
from reasoner.clusters import Bundle, Weighed
from reasoner.deciding import assemble, weigh
from reasoner.decisions import Decision, Judgement, Rules, Thresholds
from reasoner.equivalence import Normaliser, Relation, exact
from reasoner.fitted import FittedMerge
from reasoner.normal_forms import stripped


def fitted_merge(
    chains: Sequence[Chain],
    judgements: Sequence[Judgement] = (),
    *,
    fitted: FittedMerge,
    thresholds: Thresholds | None = None,
    rules: Rules | None = None,
    same: Relation = exact,
    normalise: Normaliser = stripped,
) -> Decision:
    """Return the decision of ``forward_merge`` with the posterior of ``FittedMerge``.

    Clusters, refutations, sets and reasons to abstain are the same; a cluster's score is its utility in nats, and
    what is missing to 1 (``unanswered``) is the chance that no answer is right. A refuted cluster leaves, and the
    rest is renormalised as it would be had nobody given that answer; shares of a model's chains still count all
    of them, so that a model refuted in part is believed in part.

    Raises:
        InvalidChainError: An index occurs twice, or a chain's numbers are impossible.
    """
    rules = replace(rules or Rules(), mode="merge")
    weighed, bundles = weigh(
        chains, judgements, rules=rules, same=same, normalise=normalise, model_weights=None
    )
    sampled = Counter(chain.model for chain in weighed.chains)
    supports = [_support(weighed, one, sampled) for one in bundles]
    ranked = sorted(
        zip(bundles, supports, strict=True), key=lambda pair: _rank(pair[0], fitted.utility(pair[1]))
    )
    posterior = fitted.posterior([support for one, support in ranked if not one.standing.refuted])
    return assemble(
        replace(weighed, weights="fitted"),
        [replace(one, score=fitted.utility(support)) for one, support in ranked],
        posterior=[*posterior, *[0.0] * (len(ranked) - len(posterior))],
        unanswered=1.0 - sum(posterior),
        thresholds=thresholds or Thresholds(),
        rules=rules,
    )


def _support(weighed: Weighed, one: Bundle, sampled: Counter[str]) -> dict[str, float]:
    given = Counter(weighed.chains[i].model for i in one.positions)
    return {model: n / sampled[model] for model, n in given.items()}


def _rank(one: Bundle, utility: float) -> tuple[bool, float, float, int]:
    return (one.standing.refuted, -utility, -one.best_l, one.positions[0])
