"""What the verdicts about the arithmetic of single chains say of the answer that they reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reasoner.outcomes import Outcome
from verifiers.verdicts import Verdict

MAX_CHAINS_SHOWN = 40


def groups_of(forms: Iterable[str], equal: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the normal forms in groups of those that are equal, directly or through others.

    Equal answers share the verdict on their chains: else one wording, reached by one careless chain, would be refuted
    while another wording of the same answer is confirmed.
    """
    group = {form: [form] for form in forms}
    for one, other in equal:
        if group[one] is not group[other]:
            group[one] += group[other]
            for form in group[other]:
                group[form] = group[one]
    return [members for form, members in group.items() if members[0] == form]


def verdict_on_chains(positions: Sequence[int], verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on an answer: one sound chain confirms it, and only if all are refuted is it refuted.

    A chain may stumble where another reaches the same answer rightly, so one false step refutes its chain and no more.
    Chains without an equality that could be checked say nothing, and keep an answer from being refuted.

    Args:
        positions: Of the chains that reach the answer, among the task's chains.
        verdicts: On each of them; at least one.
    """
    outcomes = [verdict.outcome for verdict in verdicts]
    refuted = [v for v in verdicts if v.outcome is Outcome.REFUTED]
    n_sound = outcomes.count(Outcome.CONFIRMED)
    if n_sound:
        outcome, reason = Outcome.CONFIRMED, f"the arithmetic of {n_sound} of {len(verdicts)} chains holds"
    elif len(refuted) == len(verdicts):
        outcome = Outcome.REFUTED
        reason = f"all {len(verdicts)} chains state something false, the first: {refuted[0].reason}"
    else:
        outcome = Outcome.ABSTAINED
        reason = f"no arithmetic was found that holds; {len(refuted)} of {len(verdicts)} chains state something false"
    chains = [
        {
            "chain": n,
            "outcome": v.outcome.value,
            "reason": v.reason[:300],
            "false": v.evidence.get("false", [])[:3],
        }
        for n, v in zip(positions, verdicts, strict=True)
    ]
    return Verdict(
        verifier=verdicts[0].verifier,
        version=verdicts[0].version,
        outcome=outcome,
        reason=reason[:500],
        elapsed_s=sum(verdict.elapsed_s for verdict in verdicts),
        evidence={"chains": chains[:MAX_CHAINS_SHOWN], "n_chains": len(verdicts)},
    )
