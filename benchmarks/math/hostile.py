"""Measure what hostile claims cost: each must end, without a yes or a no, within the limit of CPU time."""

from __future__ import annotations

import os
from typing import Any

from verifiers.claims import EqualityClaim, MathClaim, SatisfiesClaim, StepsClaim
from verifiers.math.verifier import MathVerifier

TIMEOUT_S = 30.0


def _condition(condition: str, answer: str = "5") -> SatisfiesClaim:
    return SatisfiesClaim(answer=answer, conditions=[condition], unknowns=["n"])


CLAIMS: dict[str, MathClaim] = {
    "a call of os.system": EqualityClaim(gold="__import__('os').system('true')", answer="2"),
    "9**9**9**9": EqualityClaim(gold="9**9**9**9", answer="2"),
    "a million brackets": EqualityClaim(gold="(" * 10**6, answer="2"),
    "a megabyte of digits": EqualityClaim(gold="1" * 10**6, answer="2"),
    "99999999!": EqualityClaim(gold="99999999!", answer="2"),
    "a tower of exponentials": EqualityClaim(gold="e^{e^{e^{e^{e^{e}}}}}", answer="2"),
    "an integral": EqualityClaim(gold=r"\int_0^1 e^{x^2} \sin(x^3) dx", answer="2"),
    "7,000 unicode characters": EqualityClaim(gold="".join(map(chr, range(0x300, 0x2000))), answer="2"),
    "conditions: 9**9**9**9": _condition("n = 9**9**9**9"),
    "conditions: 10^6!": _condition("n! > 5", "1000000"),
    "conditions: 2,000 brackets": _condition("(" * 2_000 + "n" + ")" * 2_000 + " = 5"),
    "conditions: 700 alternatives": _condition(" or ".join(["n = 6"] * 700)),
    "conditions: a double sum": _condition(r"\sum_{k=1}^{n} \sum_{j=1}^{n} \frac{1}{k+j} = 3", "50"),
    "steps: a million equalities": StepsClaim(text="1+1=2\n" * 10**6),
    "steps: 33,000 equalities": StepsClaim(text="1+1=2\n" * 33_000),
    "steps: one chain of 100,000": StepsClaim(text="1=" * 100_000),
    "steps: 1,000 towers": StepsClaim(text="9**9**9**9 = 3\n" * 1_000),
    "steps: numbers of 900 digits": StepsClaim(text=("9" * 900 + " * " + "9" * 900 + " = 3\n") * 100),
    "steps: 900 nested radicals": StepsClaim(text=r"$\sqrt{\sqrt{2}+\sqrt{3}}+\sqrt[3]{5}=3.1$ " * 900),
    "steps: unclosed fractions": StepsClaim(text=r"\frac{" * 30_000 + " = 3"),
}


def hostile(verifier: MathVerifier) -> dict[str, Any]:
    """Return each claim's outcome, wall time, and the CPU time it took of the process that asks."""
    found = []
    for name, claim in CLAIMS.items():
        before = os.times()
        verdict = verifier.verify(claim, timeout_s=TIMEOUT_S)
        after = os.times()
        found.append(
            {
                "claim": name,
                "outcome": verdict.outcome.value,
                "reason": verdict.reason[:80],
                "wall_s": round(verdict.elapsed_s, 2),
                "own_cpu_s": abs(round(after.user + after.system - before.user - before.system, 2)),
            }
        )
    return {"claims": found, "load": os.getloadavg()[0]}
