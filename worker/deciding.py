"""One task decided from what is on record: a function of chains, verdicts, thresholds and the task's line."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from reasoner.chains import Chain
from reasoner.decisions import Decision, Rules, Thresholds
from reasoner.diversity import turns
from reasoner.fitted import FittedMerge
from reasoner.fitted_decision import fitted_merge
from reasoner.merge import forward_merge
from reasoner.spread import backward_spread
from worker.claims import equivalence_of, judgements, normaliser_of, relation
from worker.store.verdicts import Judged
from worker.submission.lines import DEFAULT_MODEL, TaskLine
from worker.weights import EQUAL, PoolWeights

CODE_VERSION = version("mergereasoner")

METHOD_VERSION = 1
"""Stands on every decision; raised when the same record would be decided otherwise. See docs/audit.md, Replay."""


def rules_of(line: TaskLine) -> Rules:
    """Return the task's options as the method's rules."""
    options = line.options
    return Rules(
        mode=line.mode,
        k=options.k,
        set_rule=options.set_rule,
        set_k=options.set_k,
        set_alpha=options.set_alpha,
        linkage=options.linkage,
        min_confirmations=options.min_confirmations,
        require_heterogeneous=options.require_heterogeneous,
    )


def thresholds_of(line: TaskLine, calibrated: Thresholds) -> Thresholds:
    """Return the calibrated thresholds with the task's own in their place where it names some."""
    given = {name: getattr(line.options, name) for name in ("lambda_", "tau_margin", "tau_conf", "tau_score")}
    return replace(calibrated, **{name: value for name, value in given.items() if value is not None})


def decide_task(
    line: TaskLine,
    chains: Sequence[Chain],
    judged: Sequence[Judged],
    *,
    calibrated: Thresholds,
    fitted: FittedMerge | None = None,
    model_weights: Mapping[str, float] | None = None,
) -> Decision:
    """Return the decision; the same record gives the same decision, whenever and wherever.

    Args:
        line: The task.
        chains: Of which models whatever.
        judged: What the verifiers said.
        calibrated: Thresholds for whatever the task does not set itself.
        fitted: What was learned of the models; decides MERGE in place of the chains' masses.
        model_weights: What each model's chains are worth, where no fit decides.
    """
    found, thresholds, rules = (
        judgements(line, chains, judged),
        thresholds_of(line, calibrated),
        rules_of(line),
    )
    same, normalise = relation(line, judged), normaliser_of(line)
    if fitted is not None and line.mode == "merge":
        return fitted_merge(
            chains,
            found,
            fitted=fitted,
            thresholds=thresholds,
            rules=rules,
            same=same,
            normalise=normalise,
        )
    merge = forward_merge if line.mode == "merge" else backward_spread
    return merge(
        chains,
        found,
        thresholds=thresholds,
        rules=rules,
        same=same,
        normalise=normalise,
        model_weights=model_weights,
    )


def weights_for(chains: Sequence[Chain], weights: PoolWeights) -> PoolWeights:
    """Return the weights if all of the chains' models were known when they were fitted, else equal ones.

    A fit says nothing of a model it has not seen, and would take its answers for none at all.
    """
    known = weights.fitted is None or {chain.model for chain in chains} <= weights.fitted.weights.keys()
    return weights if known else EQUAL


def models_of(line: TaskLine, chains: Sequence[Chain]) -> dict[str, Any] | None:
    """Return which models a pool's task asked, how many chains each gave, and which were missing; else ``None``.

    A model is missing when chains that were its turn came from others: it was away. The default model's chains bear
    its own name, so it is missing when every chain bears another's.
    """
    asked = line.options.models
    if len(asked) == 1:
        return None
    counts = Counter(chain.model for chain in chains)
    others = set(asked) - {DEFAULT_MODEL}
    plan = turns(line.options.k, len(asked))
    due = {asked[plan[chain.index]] for chain in chains}
    there = {name for name in due if counts[name]}
    if set(counts) - others:
        there.add(DEFAULT_MODEL)
    return {
        "asked": list(asked),
        "chains": dict(sorted(counts.items())),
        "missing": sorted(due - there),
    }


def inputs_of(indices: Iterable[int], verdicts: Iterable[tuple[str, str, str]]) -> str:
    """Return the fingerprint of which rows a decision rests on.

    It names rows and not what they say: that is for the seals, and nothing of a redacted answer may be guessed from it.

    Args:
        indices: Of the chains.
        verdicts: Candidate, verifier and version of each.
    """
    facts = [sorted(indices), sorted(map(list, verdicts))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def keys_of(judged: Iterable[Judged]) -> list[tuple[str, str, str]]:
    """Return what names each verdict of a task."""
    return [(one.candidate, one.verdict.verifier, one.verdict.version) for one in judged]


def configuration_of(
    line: TaskLine,
    calibrated: Thresholds,
    weights: PoolWeights = EQUAL,
    *,
    code_version: str = CODE_VERSION,
) -> str:
    """Return the fingerprint of everything but chains and verdicts that the decision depends on."""
    facts: dict[str, Any] = {
        "rules": asdict(rules_of(line)),
        "thresholds": asdict(thresholds_of(line, calibrated)),
        "equivalence": equivalence_of(line),
        "cosine": line.options.cosine if equivalence_of(line) == "embedding" else None,
        "kind": line.kind,
        "code_version": code_version,
    }
    if weights.fitted is not None:
        fitted = weights.fitted
        facts["fitted"] = [dict(fitted.weights), sorted(fitted.pairs.items()), fitted.none]
    elif weights.model_weights is not None:
        facts["model_weights"] = dict(weights.model_weights)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
