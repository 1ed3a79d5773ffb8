"""How often the entailment verifier is right on rows it never saw, and how many claims it judges a second.

python -m benchmarks.entailment.measure [--rows FILE] [--model NAME] [--limit N]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from reasoner.outcomes import Outcome
from verifiers.claims import EntailmentClaim
from verifiers.entailment.checkpoint import RELATIONS
from verifiers.entailment.nli import TransformersNli
from verifiers.entailment.rows import Row, read_rows
from verifiers.entailment.verifier import EntailmentVerifier
from verifiers.nli import NliScores
from verifiers.verdicts import Verdict
from worker.models.nli import nli_of
from worker.settings import Settings

ROWS = Path(__file__).parents[2] / "tests/data/mnli/rows.jsonl.gz"
SPEED_CLAIMS = 100
TIMEOUT_S = 120.0


def main() -> None:
    """Print the tables and one JSON line with all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--model", default=None)
    parser.add_argument("--limit", type=int, default=None, help="rows at most")
    given = parser.parse_args()
    settings = Settings.from_env(os.environ)
    model = nli_of(given.model or settings.nli_model, settings.models_dir)
    rows = [row for row in read_rows(given.rows) if row.part == "test"][: given.limit]
    try:
        numbers = {"model": model.name, "revision": model.revision, "n": len(rows)}
        numbers |= _accuracy(model, rows) | _verdicts(EntailmentVerifier(model), rows) | _speed(model, rows)
    finally:
        model.close()
    _print(numbers)


def _accuracy(model: TransformersNli, rows: Sequence[Row]) -> dict[str, Any]:
    found = model.score([(row.premise, row.hypothesis) for row in rows])
    right = [_favourite(one) == row.label for one, row in zip(found, rows, strict=True)]
    commonest = Counter(row.label for row in rows).most_common(1)[0][1]
    return {
        "accuracy": _share(sum(right), len(right)),
        "always_the_commonest": commonest / len(rows),
        "accuracy_by_label": {
            label: _share(sum(r for r, row in zip(right, rows, strict=True) if row.label == label),
                          sum(row.label == label for row in rows))
            for label in RELATIONS
        },
    }  # fmt: skip


def _verdicts(verifier: EntailmentVerifier, rows: Sequence[Row]) -> dict[str, Any]:
    claims = [EntailmentClaim(premise=row.premise, hypothesis=row.hypothesis) for row in rows]
    verdicts = verifier.verify_many(claims, timeout_s=TIMEOUT_S)
    labels = [row.label for row in rows]
    abstained = sum(verdict.outcome is Outcome.ABSTAINED for verdict in verdicts)
    return {
        "thresholds": verdicts[0].evidence["thresholds"],
        "target_precision": verdicts[0].evidence["target_precision"],
        "confirmed_precision": _precision(verdicts, labels, Outcome.CONFIRMED, "entailment"),
        "refuted_precision": _precision(verdicts, labels, Outcome.REFUTED, "contradiction"),
        "confirmed_recall": _recall(verdicts, labels, Outcome.CONFIRMED, "entailment"),
        "refuted_recall": _recall(verdicts, labels, Outcome.REFUTED, "contradiction"),
        "abstained": _share(abstained, len(verdicts)),
    }


def _speed(model: TransformersNli, rows: Sequence[Row]) -> dict[str, Any]:
    """Return claims a second one after another and all at once, in turns, so that a loaded machine hurts both alike."""
    pairs = [(row.premise, row.hypothesis) for row in rows[:SPEED_CLAIMS]]
    taken_s = {"one_by_one": 0.0, "together": 0.0}
    for begin in range(0, len(pairs), 25):
        some = pairs[begin : begin + 25]
        started = time.perf_counter()
        for pair in some:
            model.score([pair])
        middle = time.perf_counter()
        model.score(some)
        taken_s["one_by_one"] += middle - started
        taken_s["together"] += time.perf_counter() - middle
    rates = {name: len(pairs) / taken for name, taken in taken_s.items()}
    return {"claims_per_s": rates, "batching_gain": rates["together"] / rates["one_by_one"]}


def _favourite(scores: NliScores) -> str:
    return max(RELATIONS, key=lambda name: float(getattr(scores, name)))


def _precision(
    verdicts: Sequence[Verdict], labels: Sequence[str], outcome: Outcome, label: str
) -> dict[str, Any]:
    given = [
        one == label for verdict, one in zip(verdicts, labels, strict=True) if verdict.outcome is outcome
    ]
    return _share(sum(given), len(given))


def _recall(
    verdicts: Sequence[Verdict], labels: Sequence[str], outcome: Outcome, label: str
) -> dict[str, Any]:
    of_label = [v.outcome is outcome for v, one in zip(verdicts, labels, strict=True) if one == label]
    return _share(sum(of_label), len(of_label))


def _share(n: int, of: int) -> dict[str, Any]:
    """Return n / of with its Wilson interval at 95 %."""
    if not of:
        return {"share": None, "n": n, "of": of, "interval": None}
    interval = binomtest(n, of).proportion_ci(method="wilson")
    return {"share": n / of, "n": n, "of": of, "interval": [interval.low, interval.high]}


def _print(numbers: dict[str, Any]) -> None:
    def told(name: str, share: dict[str, Any]) -> None:
        if share["interval"] is None:
            print(f"| {name} | never given |")
            return
        low, high = share["interval"]
        print(f"| {name} | {share['share']:.3f} ({low:.3f} to {high:.3f}), {share['n']} of {share['of']} |")

    print(
        f"\n{numbers['model']}@{numbers['revision']}, {numbers['n']} rows it never saw, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| what | value (Wilson, 95 %) |\n| --- | --- |")
    told("accuracy", numbers["accuracy"])
    for label, share in numbers["accuracy_by_label"].items():
        told(f"accuracy on {label}", share)
    for name in (
        "confirmed_precision",
        "confirmed_recall",
        "refuted_precision",
        "refuted_recall",
        "abstained",
    ):
        told(name.replace("_", ": "), numbers[name])
    rates = numbers["claims_per_s"]
    print(f"| claims/s one by one | {rates['one_by_one']:.1f} |")
    print(
        f"| claims/s 25 at a time | {rates['together']:.1f}, {numbers['batching_gain']:.1f} times as many |\n"
    )
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
