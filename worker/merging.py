"""Decisions from recorded chains, without any service: the same judging and deciding as in the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from reasoner.chains import Chain
from reasoner.consensus import consensus_gain, merge_operator
from reasoner.decisions import Decision, Thresholds
from reasoner.early_exit import Policy
from reasoner.risk import compare_with_singleton
from worker.claims import EQUIVALENCE
from worker.deciding import decide_task, thresholds_of
from worker.errors import WeightsError
from worker.exiting import simulate_exit
from worker.judging.protocol import Saying
from worker.judging.table import Judges
from worker.sampling import recorded_chains
from worker.store.verdicts import Judged
from worker.submission.lines import MAX_CHAINS, GivenChain, TaskLine
from worker.weights import EQUAL, PoolWeights


class MergeLine(TaskLine):
    """A task line that brings its chains."""

    chains: Annotated[list[GivenChain], Field(min_length=1, max_length=MAX_CHAINS)]


class Merger:
    """Decides tasks that bring their chains.

    Args:
        judges: Stay the caller's to close.
        thresholds: In force for every task that names none of its own.
        weights: What is known of the chains' models.
        early_exit: Policy to report on beside each decision, which it does not change.

    Raises:
        WeightsError: Early exit is asked for together with a fit, for which no policy is defined.
    """

    def __init__(
        self,
        judges: Judges,
        thresholds: Thresholds,
        *,
        weights: PoolWeights = EQUAL,
        early_exit: Policy | None = None,
    ) -> None:
        if early_exit is not None and weights.fitted is not None:
            raise WeightsError(
                "early exit looks at what chains weigh, and in a fitted merge they weigh nothing by themselves; "
                'leave one of the two out, or write "use": "model_weights" into the file of weights'
            )
        self._judges = judges
        self._thresholds = thresholds
        self._weights = weights
        self._early_exit = early_exit

    def decide_many(self, lines: list[MergeLine]) -> list[dict[str, Any]]:
        """Return one decision line per task, in order."""
        return [self._decide(line) for line in lines]

    def _decide(self, line: MergeLine) -> dict[str, Any]:
        chains = recorded_chains(line)
        said = [
            Saying(answer=chain.answer, text=given.text)
            for chain, given in zip(chains, line.chains, strict=True)
        ]
        judged = self._judges.judge(line, said)
        decision = decide_task(
            line,
            chains,
            judged,
            calibrated=self._thresholds,
            fitted=self._weights.fitted,
            model_weights=self._weights.model_weights,
        )
        output = {
            "custom_id": line.custom_id,
            "task_id": None,
            "state": "abstained" if decision.abstain else "answered",
            **decision.to_json(),
            "set_size": sum(cluster.in_set for cluster in decision.clusters),
            "risk": _risk(decision, thresholds_of(line, self._thresholds).lambda_),
            "verdicts": _verdicts(judged),
            "tokens": {"spent": sum(chain.n_tokens or 0 for chain in chains), "saved": 0},
            "calibration_id": None,
            "error": None,
        }
        if len({chain.model for chain in chains}) > 1:
            output["consensus"] = consensus(chains, decision)
        if self._early_exit is not None:
            output["early_exit"] = simulate_exit(
                self._early_exit,
                line,
                chains,
                judged,
                full=decision,
                calibrated=self._thresholds,
                model_weights=self._weights.model_weights,
            ).to_json()
        return output


def _risk(decision: Decision, lambda_: float) -> dict[str, float]:
    """Return R_lambda of the threshold set and of the answer alone (Corollary 4)."""
    candidates = [cluster.posterior for cluster in decision.clusters if not cluster.refuted]
    compared = compare_with_singleton(candidates, lambda_=lambda_)
    return {
        "lambda": lambda_,
        "set": compared.set_risk,
        "singleton": compared.singleton_risk,
        "gain": compared.gain,
    }


def _verdicts(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    verdicts: dict[str, dict[str, int]] = {}
    for one in judged:
        if one.candidate == EQUIVALENCE:
            continue  # how the answers relate to each other says nothing of any of them
        counts = verdicts.setdefault(one.verdict.verifier, {})
        counts[one.verdict.outcome.value] = counts.get(one.verdict.outcome.value, 0) + 1
    return verdicts


def consensus(chains: Sequence[Chain], decision: Decision) -> dict[str, Any]:
    """Return what several models make of one task: the union of their answers, and how far they agree.

    P_M(y|x) is the share of M's chains in y's cluster (Definition 1); a model's own answer is its largest cluster
    (ties: the better rank), and two models are similar, 1, when those are one cluster, else 0 (Definition 2).
    """
    sampled = Counter(chain.model for chain in chains)
    model_of = {chain.index: chain.model for chain in chains}
    shares: dict[str, dict[str, float]] = {model: {} for model in sampled}
    for cluster in decision.clusters:
        for model, n in Counter(model_of[i] for i in cluster.members).items():
            shares[model][str(cluster.id)] = n / sampled[model]
    answers = {
        model: min(held, key=lambda one: (-held[one], int(one))) if held else None
        for model, held in shares.items()
    }
    gain = consensus_gain(answers, similarity=lambda one, other: float(one == other))
    union = sorted(merge_operator(shares).items(), key=lambda item: int(item[0]))
    return {
        "models": list(gain.models),
        "gain": gain.gain,
        "union": [{"cluster_id": int(one), "models": held} for one, held in union],
    }
