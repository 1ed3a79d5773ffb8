"""Four models on GSM8K: single models, plurality, accuracy-weighted votes and the fitted merge.

python -m benchmarks.method.four_models --data FOLDER
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.method.data import arguments, four_models
from benchmarks.method.figures import lines_figure
from benchmarks.method.results import save
from reasoner.bounds import consensus_bound, measure
from reasoner.calibration import aurc, selective_accuracy
from reasoner.chains import Chain
from reasoner.fitted import fit_merge
from reasoner.merge import forward_merge
from reasoner.model_weights import Record, fit_model_weights
from reasoner.pool import PoolTask, effective_rivals, labelled_task, pool_report, wilson_interval

FOLDS = 10
RESAMPLES = 10_000
SHARES = (0.5, 0.7, 0.9)

Answered = tuple[bool, float]
"""Whether the answer is right, and the confidence in it."""

Method = Callable[[Sequence[PoolTask], Sequence[PoolTask]], list[Answered]]
"""Answers the second tasks having learned from the first, and from nothing else."""


def records(tasks: Sequence[PoolTask]) -> dict[str, Record]:
    """Return how often each model was right."""
    models = sorted({model for task in tasks for model in task.answers})
    right = {m: sum(t.answers.get(m) == t.truth for t in tasks) for m in models}
    return {m: Record(right=right[m], labelled=len(tasks)) for m in models}


def ranked(tasks: Sequence[PoolTask]) -> list[str]:
    """Return the models by accuracy, best first."""
    known = records(tasks)
    return sorted(known, key=lambda model: (-known[model].right, model))


def chains(task: PoolTask, models: Sequence[str]) -> list[Chain]:
    """Return one chain per model; the best model has index 0, so that it wins ties."""
    return [Chain(index=i, answer=task.answers.get(m), model=m) for i, m in enumerate(models)]


def single(model: str) -> Method:
    """Return the method of asking one model only; it knows no confidence."""
    return lambda _, test: [(task.answers.get(model) == task.truth, 0.0) for task in test]


def best_single(fit: Sequence[PoolTask], test: Sequence[PoolTask]) -> list[Answered]:
    """Ask the model that was best on the other rows."""
    return single(ranked(fit)[0])(fit, test)


def plurality(fit: Sequence[PoolTask], test: Sequence[PoolTask]) -> list[Answered]:
    """Vote by forward MERGE, one chain per model."""
    models = ranked(fit)
    decisions = [forward_merge(chains(task, models)) for task in test]
    return [(d.answer == t.truth, d.confidence) for d, t in zip(decisions, test, strict=True)]


def weighted(fit: Sequence[PoolTask], test: Sequence[PoolTask]) -> list[Answered]:
    """Vote by forward MERGE with shrunk log-odds of accuracy."""
    models = ranked(fit)
    weights = fit_model_weights(records(fit), n_rivals=effective_rivals(fit))
    decisions = [forward_merge(chains(task, models), model_weights=weights) for task in test]
    return [(d.answer == t.truth, d.confidence) for d, t in zip(decisions, test, strict=True)]


def fitted(fit: Sequence[PoolTask], test: Sequence[PoolTask]) -> list[Answered]:
    """Merge by the conditional logit of ``reasoner.fitted``."""
    models = ranked(fit)
    merge = fit_merge([labelled_task(task, models) for task in fit])
    answered = []
    for task in test:
        seen = labelled_task(task, models)
        posterior = merge.posterior(seen.supports)
        top = max(posterior, default=0.0)
        answered.append((bool(posterior) and posterior.index(top) == seen.right, top))
    return answered


def cross_fitted(method: Method, tasks: Sequence[PoolTask], *, folds: int = FOLDS) -> list[Answered]:
    """Return what the method says of each task, having learned from the other folds (row mod ``folds``)."""
    answered: list[Answered] = [(False, 0.0)] * len(tasks)
    for fold in range(folds):
        rest = [task for i, task in enumerate(tasks) if i % folds != fold]
        answered[fold::folds] = method(rest, tasks[fold::folds])
    return answered


def refolded(tasks: Sequence[PoolTask], best: float, *, folds: int, ways: int = 20) -> dict[str, float]:
    """Return how the fitted merge's gain over the best single model varies with how the rows are folded."""
    gains = []
    for seed in range(ways):
        order = np.random.default_rng(seed).permutation(len(tasks))
        answered = cross_fitted(fitted, [tasks[i] for i in order], folds=folds)
        gains.append(sum(right for right, _ in answered) / len(tasks) - best)
    return {"folds": folds, "ways": ways, "mean": float(np.mean(gains)), "min": min(gains), "max": max(gains)}


def difference(one: Sequence[bool], other: Sequence[bool]) -> dict[str, float]:
    """Return the gain in accuracy with its paired bootstrap interval and McNemar's exact one-sided p."""
    gains = np.array(one, dtype=float) - np.array(other, dtype=float)
    rng = np.random.default_rng(0)
    means = gains[rng.integers(0, len(gains), size=(RESAMPLES, len(gains)))].mean(axis=1)
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    tail = sum(math.comb(won + lost, i) for i in range(won, won + lost + 1)) / 2 ** (won + lost)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "gain": float(gains.mean()),
        "low": float(low),
        "high": float(high),
        "won": won,
        "lost": lost,
        "p": tail,
    }


def by_fold(answered: Sequence[Answered], score: Callable[[list[float], list[bool]], float]) -> float:
    """Return the mean score of the folds.

    Confidences are compared within a fold only. Pooled, the ones of different fits would be: a fold that happens
    to hold many right answers leaves few to the fit that answers it, so that its confidences are the lowest.
    """
    folds = [answered[fold::FOLDS] for fold in range(FOLDS)]
    return float(np.mean([score([c for _, c in fold], [r for r, _ in fold]) for fold in folds]))


def _selective(share: float) -> Callable[[list[float], list[bool]], float]:
    return lambda confidence, right: selective_accuracy(confidence, right, answered_share=share)


def row(name: str, answered: Sequence[Answered], reference: Sequence[Answered]) -> dict[str, Any]:
    """Return one line of the table."""
    right = [r for r, _ in answered]
    low, high = wilson_interval(sum(right), len(right))
    return {
        "method": name,
        "accuracy": sum(right) / len(right),
        "low": low,
        "high": high,
        **{f"at {share:.0%}": by_fold(answered, _selective(share)) for share in SHARES},
        "aurc": by_fold(answered, aurc),
        "against best single": difference(right, [r for r, _ in reference]),
    }


def reliability(answered: Sequence[Answered]) -> list[dict[str, float]]:
    """Return stated confidence against accuracy in five equally filled bins, filled within each fold."""
    bins: list[list[Answered]] = [[] for _ in range(5)]
    for fold in range(FOLDS):
        ordered = sorted(answered[fold::FOLDS], key=lambda pair: pair[1])
        for number, part in enumerate(np.array_split(np.arange(len(ordered)), len(bins))):
            bins[number] += [ordered[i] for i in part]
    return [
        {
            "n": len(part),
            "confidence": float(np.mean([confidence for _, confidence in part])),
            "accuracy": float(np.mean([right for right, _ in part])),
        }
        for part in bins
    ]


def measured(tasks: Sequence[PoolTask]) -> dict[str, Any]:
    """Return p, rho and what they promise of a majority."""
    found = measure([[a == t.truth for a in t.answers.values()] for t in tasks])
    bound = consensus_bound(len(tasks[0].answers), p=found.p, rho=found.rho)
    return {"p": found.p, "rho": found.rho, "helps": bound.helps, "verdict": bound.verdict}


def figure(results: dict[str, list[Answered]], folder: Path) -> None:
    """Draw the selective risk against the answered share."""
    shares = [share / 20 for share in range(1, 21)]
    lines_figure(
        {
            name: [(share, 1.0 - by_fold(answered, _selective(share))) for share in shares]
            for name, answered in results.items()
        },
        folder / "four_models.svg",
        x="answered share",
        y="selective risk",
    )


def main() -> None:
    """Measure, save the numbers and draw the figure."""
    given = arguments(__doc__).parse_args()
    tasks = four_models(given.data)
    models = ranked(tasks)
    methods: dict[str, Method] = {
        **{f"{model} alone": single(model) for model in models},
        "best single, chosen on the other rows": best_single,
        "plurality": plurality,
        "accuracy-weighted votes": weighted,
        "fitted merge": fitted,
    }
    results = {name: cross_fitted(method, tasks) for name, method in methods.items()}
    reference = results[f"{models[0]} alone"]
    report = pool_report(tasks)
    best = max(model.accuracy or 0.0 for model in report.models)
    table = [row(name, answered, reference) for name, answered in results.items()]
    for line in table:
        print(f"{line['method']:42} {line['accuracy']:.4f}  AURC {line['aurc']:.4f}")
    figure({n: a for n, a in results.items() if "alone" not in n and "single" not in n}, given.figures)
    save(
        given.out,
        "four_models",
        {
            "rows": len(tasks),
            "folds": FOLDS,
            "methods": table,
            "ceiling": report.ceiling,
            "other folds": [refolded(tasks, best, folds=folds) for folds in (2, 10)],
            "reliability": reliability(results["fitted merge"]),
            "measured": measured(tasks),
            "pool": report.to_json(),
        },
    )


if __name__ == "__main__":
    main()
