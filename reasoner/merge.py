"""Forward MERGE: one answer from many chains (Alg. 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reasoner.chains import Chain
from reasoner.deciding import decide
from reasoner.decisions import Decision, Judgement, Rules, Thresholds
from reasoner.equivalence import Normaliser, Relation, exact
from reasoner.normal_forms import stripped


def forward_merge(
    chains: Sequence[Chain],
    judgements: Sequence[Judgement] = (),
    *,
    thresholds: Thresholds | None = None,
    rules: Rules | None = None,
    same: Relation = exact,
    normalise: Normaliser = stripped,
    model_weights: Mapping[str, float] | None = None,
) -> Decision:
    """Return the answer with the highest score, the set beside it, and whether to abstain.

    Algorithm 1 with k = ``len(chains)``, of which k' have an answer, and l_i = logprob_i / length_i:

    - score(c) = logsumexp_{i in c} l_i, best = argmax score;
    - posterior(c) = exp(score(c)) / sum of exp(l_i) over the chains that are not refuted, answered or not;
    - vote_margin = |best| / k, over all k;
    - merge degree = 1 / sum_c (|c|/k')^2 over the candidates.

    A refuted cluster leaves the candidates, and what is left is renormalised.

    Args:
        chains: In any order: ties are broken by ``Chain.index``.
        judgements: About distinct answers; see ``Judgement`` for how they combine.
        thresholds: The paper's defaults when not given.
        rules: ``mode`` is MERGE whatever it says.
        same: Asked about distinct normal forms only.
        normalise: Answers of one normal form are the same answer.
        model_weights: What exp(l_i) is multiplied by, per model (``reasoner.model_weights``).

    Raises:
        InvalidChainError: An index occurs twice, or a logprob is positive, NaN, or over no tokens.
        InvalidRuleError: A model's weight is not positive.
    """
    rules = rules or Rules()
    return decide(
        chains,
        judgements,
        thresholds=thresholds or Thresholds(),
        rules=rules if rules.mode == "merge" else replace(rules, mode="merge"),
        same=same,
        normalise=normalise,
        model_weights=model_weights,
    )
