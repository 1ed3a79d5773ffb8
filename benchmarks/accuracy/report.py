"""What merging is worth on real chains: accuracy, abstention, sets, merge degree and early exit, with intervals.

    python -m benchmarks.accuracy.report, then python -m benchmarks.accuracy.page

From recorded chains (``benchmarks/accuracy/record.py``); what is right is told by the reference answers and by the
hidden tests. Verifiers see no truth: programs are run against the tests that their prompts show, and no others.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.recording import RECORDING, Recorded, read
from benchmarks.method.results import save
from reasoner.calibration import aurc, selective_accuracy
from reasoner.decisions import Decision, Thresholds
from reasoner.early_exit import Policy
from reasoner.masses import length_normalised
from reasoner.pool import wilson_interval
from worker.claims import normaliser_of
from worker.deciding import decide_task
from worker.exiting import simulate_exit
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.settings import Settings

RESAMPLES = 2000
THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class Result:
    """What one way of answering did with one task."""

    right: float
    """1 or 0; for one sample the share of chains that are right."""

    confidence: float
    answered: bool = True
    decision: Decision | None = None


Way = Callable[[Recorded], Result]


def greedy(task: Recorded) -> Result:
    """The most likely chain, as confident as its tokens are on average."""
    mean = length_normalised(task.greedy)
    return Result(float(task.is_right(task.greedy.answer)), math.exp(mean if mean is not None else -math.inf))


def one_sample(task: Recorded) -> Result:
    """One chain; the mean over all, and the first one's confidence."""
    mean = length_normalised(task.chains[0])
    share = sum(task.is_right(chain.answer) for chain in task.chains) / len(task.chains)
    return Result(share, math.exp(mean if mean is not None else -math.inf))


def majority(task: Recorded) -> Result:
    """The commonest normal form; of several, the one that came first."""
    form_of = normaliser_of(task.line)
    forms = [form_of(chain.answer) for chain in task.chains if chain.answer is not None]
    if not forms:
        return Result(0.0, 0.0)
    best = max(forms, key=forms.count)
    return Result(float(best in task.right), forms.count(best) / len(task.chains))


def merge(task: Recorded) -> Result:
    """MERGE without verifiers; math answers are compared by the math verifier, programs by their text."""
    return _result(task, decide_task(task.plain, task.chains, task.relating, calibrated=THRESHOLDS))


def verified(task: Recorded) -> Result:
    """MERGE with the verifiers that need no truth; for math there is none, and it is MERGE."""
    if not task.shown:
        return merge(task)
    return _result(task, decide_task(task.verified, task.chains, task.shown, calibrated=THRESHOLDS))


def _result(task: Recorded, decision: Decision) -> Result:
    right = float(task.is_right(decision.answer))
    return Result(right, decision.confidence, answered=not decision.abstain, decision=decision)


WAYS: dict[str, Way] = {
    "greedy": greedy,
    "one sample": one_sample,
    "majority": majority,
    "MERGE": merge,
    "MERGE + verifiers": verified,
}


def summary(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """Return one row of the table of ways."""
    rights = np.array([result.right for result in results])
    kept = [result for result in results if result.answered]
    n_right = round(float(rights.sum()))
    low, high = wilson_interval(n_right, len(results)) if name != "one sample" else bootstrap(rights)
    confidences = [result.confidence for result in results]
    as_bools = [result.right >= 0.5 for result in results]
    row: dict[str, Any] = {
        "way": name,
        "n": len(results),
        "accuracy": float(rights.mean()),
        "low": low,
        "high": high,
        "aurc": aurc(confidences, as_bools),
        "at_50": selective_accuracy(confidences, as_bools, answered_share=0.5),
        "answered_share": len(kept) / len(results),
        "selective_accuracy": float(np.mean([one.right for one in kept])) if kept else None,
    }
    if kept and name != "one sample":
        row["selective_low"], row["selective_high"] = wilson_interval(
            round(sum(one.right for one in kept)), len(kept)
        )
    return row


def bootstrap(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return the percentile interval of the mean at 95 %, by resampling tasks."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, size=(RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def sets(tasks: Sequence[Recorded], results: Sequence[Result]) -> dict[str, Any]:
    """Return how often the set, or any sampled answer at all, holds the truth."""
    covered, sizes, reachable = [], [], []
    for task, result in zip(tasks, results, strict=True):
        assert result.decision is not None
        inside = [cluster for cluster in result.decision.clusters if cluster.in_set]
        by_index = {chain.index: chain.answer for chain in task.chains}
        covered.append(any(task.is_right(by_index[i]) for cluster in inside for i in cluster.members))
        reachable.append(any(task.is_right(chain.answer) for chain in task.chains))
        sizes.append(len(inside))
    n = len(tasks)
    return {
        "coverage": sum(covered) / n,
        "coverage_interval": wilson_interval(sum(covered), n),
        "mean_size": sum(sizes) / n,
        "ceiling": sum(reachable) / n,
        "ceiling_interval": wilson_interval(sum(reachable), n),
    }


def degrees(results: Sequence[Result]) -> dict[str, Any]:
    """Return how well a low merge degree tells right answers from wrong ones."""
    pairs = [
        (r.decision.merge_degree, r.right > 0.5) for r in results if r.decision and r.decision.n_answered
    ]
    bands = []
    for low, high in ((1.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, math.inf)):
        inside = [right for degree, right in pairs if (degree == low == high) or low < degree <= high]
        name = "1" if low == high else f"{low:g} to {high:g}" if high < math.inf else f"above {low:g}"
        if inside:
            share = sum(inside) / len(inside)
            bands.append(
                {
                    "degree": name,
                    "tasks": len(inside),
                    "right": share,
                    "interval": wilson_interval(sum(inside), len(inside)),
                }
            )
    return {"bands": bands, **_auroc_with_interval(pairs)}


def _auroc_with_interval(pairs: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = [_auroc([pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]) for _ in range(RESAMPLES)]
    usable = [value for value in found if value is not None]
    if (whole := _auroc(pairs)) is None or not usable:
        return {"auroc": None}
    low, high = np.percentile(usable, [2.5, 97.5])
    return {"auroc": whole, "auroc_interval": (float(low), float(high))}


def _auroc(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Return P(a right task has the lower merge degree than a wrong one), ties counting half."""
    right = np.array([degree for degree, is_right in pairs if is_right])
    wrong = np.array([degree for degree, is_right in pairs if not is_right])
    if not len(right) or not len(wrong):
        return None
    lower = (right[:, None] < wrong).mean() + (right[:, None] == wrong).mean() / 2
    return float(lower)


def exits(tasks: Sequence[Recorded], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what each policy saves, and how many decisions it changes."""
    rows = []
    for policy in (Policy.LOSSLESS, Policy.PAPER, Policy.ADAPTIVE):
        saved = total = chains = same_answer = same_abstention = right = 0
        for task, result in zip(tasks, results, strict=True):
            assert result.decision is not None
            found = simulate_exit(
                policy, task.plain, task.chains, task.relating, full=result.decision, calibrated=THRESHOLDS
            )
            saved += found.tokens_saved or 0
            total += sum(chain.n_tokens or 0 for chain in task.chains)
            chains += found.n_chains - found.chains_used
            same_answer += found.early.answer == found.full.answer
            same_abstention += found.early.abstain == found.full.abstain
            right += task.is_right(found.early.answer)
        n = len(tasks)
        rows.append(
            {
                "policy": policy.value,
                "tokens_saved": saved / total,
                "chains_saved": chains / sum(len(task.chains) for task in tasks),
                "same_answer": same_answer / n,
                "same_abstention": same_abstention / n,
                "accuracy": right / n,
                "interval": wilson_interval(right, n),
            }
        )
    return rows


def report(tasks: Sequence[Recorded]) -> dict[str, Any]:
    """Return every number about some tasks."""
    results = {name: [way(task) for task in tasks] for name, way in WAYS.items()}
    plain = results["MERGE"]
    return {
        "tasks": len(tasks),
        "chains": sum(len(task.chains) for task in tasks),
        "ways": [summary(name, found) for name, found in results.items()],
        "sets": {name: sets(tasks, results[name]) for name in ("MERGE", "MERGE + verifiers")},
        "degree": degrees(plain),
        "exits": exits(tasks, plain),
    }


def main() -> None:
    """Judge the recording, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    parser.add_argument("--out", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--limit", type=int, help="only so many tasks")
    given = parser.parse_args()
    with Judges(Surroundings(settings=Settings.from_env(os.environ))) as judges:
        tasks = read(given.recording, judges, limit=given.limit)
    kinds = {
        "math": [t for t in tasks if t.line.kind == "math"],
        "code": [t for t in tasks if t.line.kind == "code"],
    }
    for kind, of_kind in kinds.items():
        if of_kind:
            found = report(of_kind)
            for row in found["ways"]:
                print(kind, {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
            save(given.out, kind, found)


if __name__ == "__main__":
    main()
