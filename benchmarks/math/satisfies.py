"""Measure ``satisfies``: right answers of MATH problems whose statement gives conditions, and wrong ones of ours."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.math.data import conditions
from verifiers.claims import SatisfiesClaim
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Verdict

TIMEOUT_S = 30.0


def satisfies(verifier: MathVerifier) -> dict[str, Any]:
    """Return how many right answers were confirmed and how many wrong ones refuted."""
    right: list[Verdict] = []
    wrong: list[Verdict] = []
    for row in conditions():
        for answer in (row["answer"], *row["wrong"]):
            claim = SatisfiesClaim(answer=answer, conditions=row["conditions"], unknowns=row["unknowns"])
            verdict = verifier.verify(claim, timeout_s=TIMEOUT_S)
            (right if answer == row["answer"] else wrong).append(verdict)
    seconds = [verdict.elapsed_s for verdict in (*right, *wrong)]
    return {
        "right": _outcomes(right),
        "wrong": _outcomes(wrong),
        "median_ms": round(1000 * statistics.median(seconds), 2),
        "max_ms": round(1000 * max(seconds)),
    }


def _outcomes(verdicts: list[Verdict]) -> dict[str, int]:
    found = [verdict.outcome.value for verdict in verdicts]
    return {outcome: found.count(outcome) for outcome in ("confirmed", "refuted", "abstained")}
