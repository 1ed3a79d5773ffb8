"""Early exit on chains that are all there already: how many a policy would have asked for, and to what end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reasoner.chains import Chain
from reasoner.decisions import Decision, Thresholds
from reasoner.early_exit import Policy, first_stop, should_stop
from worker.claims import normaliser_of
from worker.deciding import decide_task, rules_of, thresholds_of
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """What a policy would have done with one task."""

    policy: Policy
    chains_used: int
    n_chains: int
    tokens_saved: int | None
    """``None`` where a chain that would not have been sampled does not say how many tokens it has."""

    early: Decision
    full: Decision

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {
            "policy": self.policy.value,
            "chains_used": self.chains_used,
            "chains_saved": self.n_chains - self.chains_used,
            "tokens_saved": self.tokens_saved,
            "answer": self.early.answer,
            "abstain_flag": self.early.abstain,
            "same_answer": self.early.answer == self.full.answer,
            "same_abstention": self.early.abstain == self.full.abstain,
        }


def simulate_exit(
    policy: Policy,
    line: TaskLine,
    chains: Sequence[Chain],
    judged: Sequence[Judged],
    *,
    full: Decision,
    calibrated: Thresholds,
    model_weights: Mapping[str, float] | None = None,
) -> Exit:
    """Return where the policy would have stopped, had the chains come in the order of their indices.

    The policy is asked after every chain, as in the queue. What the queue had under way by then it aborts.

    Args:
        policy: Of early exit.
        line: The task; its ``k`` is the number of chains that are there.
        chains: All of them, by ascending index.
        judged: The verdicts about all of them; those about chains not sampled have no say.
        full: The decision from all of them.
        calibrated: Thresholds for whatever the task does not set itself.
        model_weights: Those of the decision.
    """
    used = _used(policy, line, chains, calibrated=calibrated, model_weights=model_weights)
    early = full
    if used < len(chains):
        early = decide_task(line, chains[:used], judged, calibrated=calibrated, model_weights=model_weights)
    unsampled = [chain.n_tokens for chain in chains[used:]]
    known = [n for n in unsampled if n is not None]
    return Exit(
        policy=policy,
        chains_used=used,
        n_chains=len(chains),
        tokens_saved=sum(known) if len(known) == len(unsampled) else None,
        early=early,
        full=full,
    )


def _used(
    policy: Policy,
    line: TaskLine,
    chains: Sequence[Chain],
    *,
    calibrated: Thresholds,
    model_weights: Mapping[str, float] | None,
) -> int:
    if line.mode == "spread":
        return len(chains)
    thresholds, rules = thresholds_of(line, calibrated), replace(rules_of(line), k=len(chains))
    for n in range(first_stop(policy, len(chains)), len(chains)):
        if should_stop(
            policy,
            chains[:n],
            thresholds=thresholds,
            rules=rules,
            normalise=normaliser_of(line),
            can_refute=bool(line.verify),
            model_weights=model_weights,
        ):
            return n
    return len(chains)
