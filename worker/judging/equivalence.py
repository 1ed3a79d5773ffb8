"""The one verdict about how a task's distinct answers relate to each other, whichever verifier gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reasoner.outcomes import Outcome
from verifiers.verdicts import Verdict
from worker.claims import EQUIVALENCE
from worker.store.texts import digest
from worker.store.verdicts import Judged


def judged_equivalence(
    forms: Mapping[str, str],
    pairs: Sequence[tuple[str, str]],
    outcomes: Sequence[Outcome],
    *,
    verifier: str,
    version: str,
    why: str,
    elapsed_s: float,
    limits: Mapping[str, float],
    details: Sequence[Sequence[Any]] | None = None,
) -> Judged:
    """Return the verdict; its evidence names every pair with its outcome, and with its details where there are any.

    Args:
        forms: One wording per normal form.
        pairs: Of normal forms, each asked about once.
        outcomes: Per pair: equal is confirmed, different is refuted.
        verifier: Who was asked.
        version: Of the verifier.
        why: Why a pair can't be told, in words; used when one can't.
        elapsed_s: Seconds that all pairs took.
        limits: In force for each pair.
        details: Per pair, more JSON values to stand behind its outcome.
    """
    details = details or [()] * len(pairs)
    verdict = Verdict(
        verifier=verifier,
        version=version,
        outcome=Outcome.ABSTAINED if Outcome.ABSTAINED in outcomes else Outcome.CONFIRMED,
        reason=_summary(outcomes, why=why),
        elapsed_s=elapsed_s,
        evidence={
            "pairs": [
                [digest(a), digest(b), outcome.value, *more]
                for (a, b), outcome, more in zip(pairs, outcomes, details, strict=True)
            ]
        },
    )
    claim = {"kind": "equivalence", "answers": [digest(form) for form in forms]}
    return Judged(candidate=EQUIVALENCE, claim=claim, verdict=verdict, limits=dict(limits))


def _summary(outcomes: Sequence[Outcome], *, why: str) -> str:
    n_same, n_undecided = outcomes.count(Outcome.CONFIRMED), outcomes.count(Outcome.ABSTAINED)
    reason = f"{n_same} of {len(outcomes)} pairs of distinct answers are equal"
    return f"{reason}, {n_undecided} cannot be told ({why})" if n_undecided else reason
