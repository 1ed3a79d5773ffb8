"""Patients of known truth: decisions whose exact risk and coverage under any thresholds can be counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.method.data import Diagnoses
from reasoner.labelled_decision import LabelledDecision

EXCERPT = Path(__file__).parents[2] / "data" / "ddxplus" / "excerpt.json"


def diagnoses() -> Diagnoses:
    tables = json.loads(EXCERPT.read_text(encoding="utf-8"))
    counts = np.array([tables["condition_counts"][c] for c in tables["conditions"]], dtype=np.float64)
    likelihood = np.array([tables["probabilities"][c] for c in tables["conditions"]], dtype=np.float64)
    return Diagnoses(prior=counts / counts.sum(), likelihood=likelihood)


def population(seed: int, *, n: int, k: int | None, evidences: tuple[int, ...]) -> list[LabelledDecision]:
    """Decisions by k chains drawn from each patient's exact posterior, or by that posterior itself."""
    rng = np.random.default_rng(seed)
    posterior, truth = diagnoses().observe(rng, n=n, evidences=evidences)
    shares = posterior if k is None else rng.multinomial(k, posterior) / k
    return [decision(row, int(np.argmax(true))) for row, true in zip(shares, truth, strict=True)]


def decision(shares: np.ndarray, truth: int) -> LabelledDecision:
    """The decision that these shares of votes come to."""
    ranked = sorted((i for i in range(len(shares)) if shares[i] > 0), key=lambda i: (-shares[i], i))
    top = float(shares[ranked[0]])
    return LabelledDecision(
        posterior=tuple(float(shares[i]) for i in ranked),
        truth=ranked.index(truth) if truth in ranked else None,
        confidence=top,
        margin=top,
        right=ranked[0] == truth,
    )
