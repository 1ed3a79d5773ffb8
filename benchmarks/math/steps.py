"""Measure ``steps``: false alarms on worked solutions, errors put in and found, and what a refutation is worth."""

from __future__ import annotations

import random
import re
import statistics
from pathlib import Path
from typing import Any

from benchmarks.math.data import MODELS, rows, without_annotations
from verifiers.claims import StepsClaim
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Outcome, Verdict

TIMEOUT_S = 30.0
SEED = 0
_RESULT = re.compile(r"= ?\$?(\d[\d,]*(?:\.\d+)?)")


def steps(verifier: MathVerifier, folder: Path) -> dict[str, Any]:
    """Return all of it."""
    gold = [row["answer"] for row in rows(folder, "gsm8k_first_half.jsonl")]
    plain = [without_annotations(text) for text in gold]
    rng = random.Random(SEED)
    broken = [text for text in (with_an_error(text, rng) for text in plain) if text is not None]
    math = [row["answer"] for row in rows(folder, "math500*.jsonl")]
    judged = {
        "GSM8K solutions": _judge(verifier, gold),
        "the same without calculator annotations": _judge(verifier, plain),
        "the same with one digit of one result changed": _judge(verifier, broken),
        "MATH solutions": _judge(verifier, math),
    }
    seconds = [v.elapsed_s for v in judged["GSM8K solutions"]]
    return {
        "texts": [{"texts": name, **_counts(verdicts)} for name, verdicts in judged.items()],
        "false_alarms": [
            v.reason
            for v in (*judged["GSM8K solutions"], *judged["MATH solutions"])
            if v.outcome is Outcome.REFUTED
        ],
        "models": _models(verifier, folder),
        "chains_per_s": round(len(seconds) / sum(seconds), 1),
        "median_ms": round(1000 * statistics.median(seconds), 2),
    }


def with_an_error(text: str, rng: random.Random) -> str | None:
    """Return ``text`` with one digit of one stated result changed; ``None`` when it states none."""
    results = list(_RESULT.finditer(text))
    if not results:
        return None
    result = rng.choice(results)
    digits = list(result[1])
    place = rng.choice([n for n, c in enumerate(digits) if c.isdigit()])
    digits[place] = rng.choice(
        [c for c in ("123456789" if place == 0 else "0123456789") if c != digits[place]]
    )
    return text[: result.start(1)] + "".join(digits) + text[result.end(1) :]


def _judge(verifier: MathVerifier, texts: list[str]) -> list[Verdict]:
    return [verifier.verify(StepsClaim(text=text), timeout_s=TIMEOUT_S) for text in texts]


def _counts(verdicts: list[Verdict]) -> dict[str, int]:
    found = [verdict.outcome.value for verdict in verdicts]
    held = sum(verdict.evidence.get("held", 0) for verdict in verdicts)
    skipped = sum(sum(verdict.evidence.get("skipped", {}).values()) for verdict in verdicts)
    return {
        "n": len(verdicts), "confirmed": found.count("confirmed"), "refuted": found.count("refuted"),
        "abstained": found.count("abstained"), "equalities_held": held, "equalities_skipped": skipped,
    }  # fmt: skip


def _models(verifier: MathVerifier, folder: Path) -> list[dict[str, Any]]:
    """Return how often a refuted chain's answer is wrong, and how many of the wrong chains are refuted."""
    chains = rows(folder, "gsm8k_four_models*.jsonl")
    found = []
    for model in MODELS:
        verdicts = _judge(verifier, [row[model]["solution"] for row in chains])
        wrong = [not row[model]["is_correct"] for row in chains]
        refuted = [verdict.outcome is Outcome.REFUTED for verdict in verdicts]
        both = sum(w and r for w, r in zip(wrong, refuted, strict=True))
        found.append(
            {
                "model": model, "n": len(chains), "wrong": sum(wrong), "refuted": sum(refuted),
                "refuted_and_wrong": both,
            }
        )  # fmt: skip
    return found
