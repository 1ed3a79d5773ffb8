"""Backward SPREAD: many explanations of one observation (Alg. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reasoner.chains import Chain
from reasoner.deciding import decide
from reasoner.decisions import Decision, Judgement, Rules, Thresholds
from reasoner.equivalence import Normaliser, Relation, exact
from reasoner.errors import InvalidRuleError
from reasoner.normal_forms import stripped

TEMPERATURES = (0.3, 0.5, 0.7, 0.9)
"""Alg. 2, line 1."""


def temperature_plan(k: int) -> tuple[float, ...]:
    """Return k temperatures, ascending: split evenly, the remainder to the lower ones.

    Six chains get 0.3, 0.3, 0.5, 0.5, 0.7, 0.9.

    Raises:
        InvalidRuleError: ``k`` is negative.
    """
    if k < 0:
        raise InvalidRuleError(f"cannot sample {k} chains")
    each, rest = divmod(k, len(TEMPERATURES))
    return tuple(t for i, t in enumerate(TEMPERATURES) for _ in range(each + (i < rest)))


def backward_spread(
    chains: Sequence[Chain],
    judgements: Sequence[Judgement] = (),
    *,
    thresholds: Thresholds | None = None,
    rules: Rules | None = None,
    same: Relation = exact,
    normalise: Normaliser = stripped,
    model_weights: Mapping[str, float] | None = None,
) -> Decision:
    """Return the distinct explanations that survive verification, the best scored first.

    Algorithm 2, where M.Score(x | y) = exp(logprob / length) in (0, 1] is the score of an explanation, the
    highest among chains that gave it. We *deduplicate, then select*: the paper selects top-k first and
    deduplicates after, which can return fewer than k distinct explanations while others were at hand.

    The set is the top ``set_k`` by score (all distinct ones by default), or with ``set_rule="score"`` those
    with score > tau_score. It abstains if the set is empty, or its best score < tau_conf, or the verifiers
    ask for it. Posteriors, merge degree and entropy mean what they mean in ``forward_merge``. Without
    logprobs every score is 1 (``weights`` says ``votes``), tau_conf cannot fire and votes break the ties.

    A chain may list several explanations, each a ``Chain`` of the same index: they are x_1, x_2, ... of Algorithm 2
    like those of other chains, each with a score of its own, and a cluster's size counts the chains that named it.

    Args and errors are those of ``forward_merge``.
    """
    rules = rules or Rules(mode="spread")
    return decide(
        chains,
        judgements,
        thresholds=thresholds or Thresholds(),
        rules=rules if rules.mode == "spread" else replace(rules, mode="spread"),
        same=same,
        normalise=normalise,
        model_weights=model_weights,
    )
