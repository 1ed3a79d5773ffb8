"""What a decision is made of: thresholds and rules in, clusters and reasons out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from reasoner.errors import InvalidRuleError
from reasoner.outcomes import Outcome

Mode = Literal["merge", "spread"]
SetRule = Literal["threshold", "top_k", "coverage", "score"]
Linkage = Literal["single", "complete", "guarded"]
Weights = Literal["logprobs", "votes", "fitted"]


def _require_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:  # also refuses NaN, which no comparison admits
        raise InvalidRuleError(f"{name} must lie in [0, 1], not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What calibration chooses; every number acts on a share in [0, 1]."""

    lambda_: float = 0.3
    """Smallest posterior that enters the threshold set (Theorem 3); 0.3 is the paper's."""

    tau_margin: float = 0.1
    """A vote margin below it abstains."""

    tau_conf: float = 0.3
    """A confidence below it abstains: the best posterior in MERGE, the best score in SPREAD."""

    tau_score: float = 0.5
    """What an explanation's score must exceed under the set rule ``score`` (Alg. 2)."""

    def __post_init__(self) -> None:
        for name in ("lambda_", "tau_margin", "tau_conf", "tau_score"):
            _require_share(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a task is to be decided, as its options say; never changed by calibration."""

    mode: Mode = "merge"
    k: int = 8
    """Chains planned. A decision counts the chains it is given; early exit needs to know how many may come."""

    set_rule: SetRule | None = None
    """``None`` is the mode's own: ``threshold`` in MERGE, ``top_k`` in SPREAD (Alg. 2)."""

    set_k: int | None = None
    """Largest set under ``top_k``; ``None`` is the number of chains."""

    set_alpha: float = 0.9
    """Mass the set must reach under ``coverage`` (Theorem 16)."""

    linkage: Linkage = "single"
    """How pairs of equal answers become clusters: the paper's single linkage, complete, or guarded."""

    min_confirmations: int = 0
    """Verifiers that must have confirmed the best cluster."""

    require_heterogeneous: bool = False
    """Verifiers of at least two kinds must have confirmed the best cluster."""

    def __post_init__(self) -> None:
        _require_share("set_alpha", self.set_alpha)
        if self.k < 1:
            raise InvalidRuleError(f"k must be at least 1, not {self.k}")
        if self.set_k is not None and self.set_k < 1:
            raise InvalidRuleError(f"set_k must be at least 1, not {self.set_k}")
        if self.min_confirmations < 0:
            raise InvalidRuleError(f"min_confirmations must not be negative, not {self.min_confirmations}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verifier's conclusion about one distinct answer."""

    answer: str
    """Matched with the chains' answers after normalisation; an answer no chain gave is ignored."""

    verifier: str
    """``kind`` or ``kind/anything``, e.g. ``code`` or ``code/2`` for a task's second set of tests.

    Verifiers of one kind that differ about an answer refute it (a program that fails one of two test files
    fails); verifiers of two kinds that differ are a disagreement.
    """

    outcome: Outcome

    @property
    def kind(self) -> str:
        """What comes before the first slash."""
        return self.verifier.partition("/")[0]


class AbstainReason(StrEnum):
    """Why a decision abstained; several may fire."""

    NO_ANSWER = "no_answer"
    """No chain has an answer; stands alone."""

    ALL_REFUTED = "all_refuted"
    """Every cluster was refuted; stands alone."""

    VOTE_MARGIN = "vote_margin"
    CONFIDENCE = "confidence"
    EMPTY_SET = "empty_set"
    DISAGREEMENT = "disagreement"
    """One kind of verifier confirmed the best cluster and another refuted it."""

    UNCONFIRMED = "unconfirmed"
    """Fewer verifiers than ``min_confirmations`` confirmed the best cluster."""

    NOT_HETEROGENEOUS = "not_heterogeneous"
    """The confirmations of the best cluster come from fewer than two kinds of verifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Chains whose answers are the same answer."""

    id: int
    """Rank: 0 is the best candidate; refuted clusters follow all candidates."""

    answer: str
    """The majority's own wording (ties: higher l, then lower index)."""

    members: tuple[int, ...]
    """Indices of its chains, ascending."""

    score: float
    """MERGE: logsumexp of the members' l, in nats, with their models' log weights added where there are any.

    SPREAD: exp(l) of the best member, in (0, 1].
    """

    posterior: float
    """Share of the mass of all chains that are not refuted, answered or not; 0 for a refuted cluster."""

    outcome: Outcome | None
    """What the verifiers say together; ``None`` when none judged it, ``abstained`` when they disagree."""

    confirmed_by: tuple[str, ...] = ()
    """The verifiers that confirmed it, sorted."""

    refuted: bool = False
    """It left the candidates."""

    disputed: bool = False
    """One kind of verifier confirmed it and another refuted it."""

    in_set: bool = False

    @property
    def size(self) -> int:
        """Number of chains."""
        return len(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A member of the set S(y) that is not the answer."""

    answer: str
    posterior: float
    cluster_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The method's conclusion about one task; a pure function of chains, judgements, thresholds and rules."""

    mode: Mode
    answer: str | None
    """The best cluster's answer, also when abstaining; ``None`` when no candidate is left."""

    clusters: tuple[Cluster, ...]
    """Candidates best first, then what was refuted."""

    alternatives: tuple[Alternative, ...]
    """The set without the answer, best first."""

    n_chains: int
    """k: the chains given, answered or not, refuted or not."""

    n_answered: int
    """k': chains with an answer, refuted or not."""

    merge_degree: float
    """N_eff = 1 / sum (|c|/k')^2 over the candidates; 0 when there is none."""

    merge_degree_corrected: float
    """The same from the unbiased Simpson index; infinity when no two chains agree."""

    semantic_entropy: float
    """Entropy of the candidates' renormalised posterior, in nats."""

    vote_margin: float
    """Size of the best cluster / k; a share, not a difference."""

    runner_up_gap: float
    """Posterior of the answer minus the highest other posterior; negative only in SPREAD."""

    confidence: float
    """What tau_conf acts on: the best cluster's posterior in MERGE, its score in SPREAD; 0 without one."""

    unanswered: float
    """Share of the mass that lies on chains without an answer; in a fitted merge, P(none of them is right)."""

    weights: Weights
    """What a chain weighs: exp(l), 1 each because a logprob was missing, or what a fit learned of its model."""

    abstain_reasons: tuple[AbstainReason, ...]

    @property
    def abstain(self) -> bool:
        """Whether any reason fired."""
        return bool(self.abstain_reasons)

    @property
    def best(self) -> Cluster | None:
        """The best candidate, if one is left."""
        return self.clusters[0] if self.clusters and not self.clusters[0].refuted else None

    @property
    def singleton_bound(self) -> float:
        """1 / N_eff (Theorem 8): see ``reasoner.bounds.singleton_success``; 1.0 without candidates."""
        return 1.0 / self.merge_degree if self.merge_degree else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only; an infinite corrected merge degree is ``None``."""
        corrected = self.merge_degree_corrected
        return {
            "mode": self.mode,
            "answer": self.answer,
            "cluster_id": None if self.best is None else self.best.id,
            "alt_explanations": [
                {"answer": a.answer, "posterior": a.posterior, "cluster_id": a.cluster_id}
                for a in self.alternatives
            ],
            "n_chains": self.n_chains,
            "n_answered": self.n_answered,
            "merge_degree": self.merge_degree,
            "merge_degree_corrected": corrected if math.isfinite(corrected) else None,
            "semantic_entropy": self.semantic_entropy,
            "vote_margin": self.vote_margin,
            "runner_up_gap": self.runner_up_gap,
            "confidence": self.confidence,
            "unanswered": self.unanswered,
            "singleton_bound": self.singleton_bound,
            "weights": self.weights,
            "abstain_flag": self.abstain,
            "abstain_reasons": [reason.value for reason in self.abstain_reasons],
            "clusters": [_cluster_json(cluster) for cluster in self.clusters],
        }


def _cluster_json(cluster: Cluster) -> dict[str, Any]:
    return {
        "id": cluster.id,
        "answer": cluster.answer,
        "members": list(cluster.members),
        "size": cluster.size,
        "score": cluster.score,
        "posterior": cluster.posterior,
        "outcome": None if cluster.outcome is None else cluster.outcome.value,
        "confirmed_by": list(cluster.confirmed_by),
        "refuted": cluster.refuted,
        "disputed": cluster.disputed,
        "in_set": cluster.in_set,
    }


def cluster_from_json(value: Mapping[str, Any]) -> Cluster:
    """Return a cluster of ``to_json``."""
    return Cluster(
        id=value["id"],
        answer=value["answer"],
        members=tuple(value["members"]),
        score=value["score"],
        posterior=value["posterior"],
        outcome=None if value["outcome"] is None else Outcome(value["outcome"]),
        confirmed_by=tuple(value["confirmed_by"]),
        refuted=value["refuted"],
        disputed=value["disputed"],
        in_set=value["in_set"],
    )
