"""Sets, merge degree and temperature against the exact posteriors of DDXPlus.

python -m benchmarks.method.ddxplus --data FOLDER
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.method.data import Bools, Floats, arguments, diagnoses
from benchmarks.method.figures import lines_figure
from benchmarks.method.results import save
from reasoner.calibration import LabelledPosterior, conformal_lambda
from reasoner.degree import merge_degree, merge_degree_corrected
from reasoner.sets import coverage_set, threshold_set

OBSERVATIONS = 4000
EVIDENCES = (8, 16, 32, 64)
CHAINS = (4, 8, 16, 32)
ALPHAS = (0.8, 0.9, 0.95)
TEMPERATURES = (0.3, 0.5, 0.7, 0.9, 1.0, 1.3)


def n_eff(posterior: Floats) -> Floats:
    """Return 1 / sum p^2 of each row."""
    degrees: Floats = 1.0 / np.square(posterior).sum(axis=1)
    return degrees


def sample(rng: np.random.Generator, posterior: Floats, k: int) -> Floats:
    """Return how many of k chains gave each condition, row by row."""
    return rng.multinomial(k, posterior).astype(np.float64)


def sharpened(posterior: Floats, temperature: float) -> Floats:
    """Return p^(1/T), normalised: what sampling at temperature T makes of the posterior."""
    with np.errstate(divide="ignore"):
        logs = np.log(posterior) / temperature
    masses = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: Floats = masses / masses.sum(axis=1, keepdims=True)
    return shares


def degree_errors(counts: Floats, truth: Floats) -> dict[str, float]:
    """Return bias and RMSE of the plug-in and the corrected merge degree, and of their reciprocals.

    A corrected degree is infinite when no two chains agree; those are left out of its bias and RMSE, which
    flatters it, and counted. The reciprocals (Simpson's index) are finite always.
    """
    sizes = [[int(n) for n in row if n] for row in counts]
    plug_in = np.array([merge_degree(row) for row in sizes])
    corrected = np.array([merge_degree_corrected(row) for row in sizes])
    finite = np.isfinite(corrected)
    return {
        "plug-in bias": float(np.mean(plug_in - truth)),
        "plug-in RMSE": _rmse(plug_in - truth),
        "plug-in RMSE where finite": _rmse((plug_in - truth)[finite]),
        "corrected bias": float(np.mean((corrected - truth)[finite])),
        "corrected RMSE": _rmse((corrected - truth)[finite]),
        "infinite": float(1.0 - finite.mean()),
        "plug-in index bias": float(np.mean(1 / plug_in - 1 / truth)),
        "plug-in index RMSE": _rmse(1 / plug_in - 1 / truth),
        "corrected index bias": float(np.mean(1 / corrected - 1 / truth)),
        "corrected index RMSE": _rmse(1 / corrected - 1 / truth),
    }


def _rmse(errors: Floats) -> float:
    return math.sqrt(float(np.mean(np.square(errors))))


def by_degree(counts: Floats, truth: Floats) -> list[dict[str, float]]:
    """Return the mean plug-in and median corrected degree for rows of like true N_eff."""
    rows = []
    for low, high in ((1, 1.5), (1.5, 3), (3, 6), (6, 12), (12, 50)):
        chosen = (truth >= low) & (truth < high)
        if not chosen.any():
            continue
        sizes = [[int(n) for n in row if n] for row in counts[chosen]]
        corrected = float(np.median([merge_degree_corrected(row) for row in sizes]))
        rows.append(
            {
                "low": low,
                "high": high,
                "n": int(chosen.sum()),
                "true": float(truth[chosen].mean()),
                "plug-in": float(np.mean([merge_degree(row) for row in sizes])),
                "corrected median": corrected if math.isfinite(corrected) else -1.0,
            }
        )
    return rows


def coverage(shares: Floats, truth: Bools, chosen: list[tuple[int, ...]]) -> dict[str, float]:
    """Return how often a set held the truth (a member without mass does not count) and its mean size."""
    held = [any(truth[row, i] and shares[row, i] > 0 for i in members) for row, members in enumerate(chosen)]
    sizes = [sum(shares[row, i] > 0 for i in members) for row, members in enumerate(chosen)]
    return {"coverage": float(np.mean(held)), "size": float(np.mean(sizes))}


def posteriors_as_lists(shares: Floats) -> list[list[float]]:
    """Return rows as lists; summing to 1 up to rounding."""
    return [[float(p) for p in row] for row in shares]


def set_rows(shares: Floats, truth: Bools, name: str) -> list[dict[str, Any]]:
    """Return coverage and size of each kind of set on the second half, conformal lambda fitted on the first."""
    half = len(shares) // 2
    fit = [
        LabelledPosterior(posterior=tuple(row), truth=int(np.argmax(true)))
        for row, true in zip(posteriors_as_lists(shares[:half]), truth[:half], strict=True)
    ]
    lists, true = posteriors_as_lists(shares[half:]), truth[half:]
    ceiling = float(np.mean([any(t & (s > 0)) for t, s in zip(true, shares[half:], strict=True)]))
    papers = [threshold_set(row, lambda_=0.3) for row in lists]
    rows = []
    for alpha in ALPHAS:
        lambda_ = conformal_lambda(fit, alpha=alpha)
        rows.append(
            {
                "from": name,
                "alpha": alpha,
                "ceiling": ceiling,
                "coverage set": coverage(shares[half:], true, [coverage_set(r, alpha=alpha) for r in lists]),
                "conformal": coverage(
                    shares[half:], true, [threshold_set(r, lambda_=lambda_) for r in lists]
                ),
                "lambda": lambda_,
                "paper": coverage(shares[half:], true, papers),
            }
        )
    return rows


def main() -> None:
    """Measure, save the numbers and draw the figures."""
    given = arguments(__doc__).parse_args()
    rng = np.random.default_rng(0)
    posterior, truth = diagnoses(given.data).observe(rng, n=OBSERVATIONS, evidences=EVIDENCES)
    degrees = n_eff(posterior)
    counts = {k: sample(rng, posterior, k) for k in CHAINS}
    sets = set_rows(posterior, truth, "exact posterior")
    for k in CHAINS:
        sets += set_rows(counts[k] / k, truth, f"{k} chains")
    errors = [{"k": k, **degree_errors(counts[k], degrees)} for k in CHAINS]
    heat = []
    for temperature in TEMPERATURES:
        seen = sample(rng, sharpened(posterior, temperature), 32)
        covered = coverage(
            seen / 32, truth, [coverage_set(r, alpha=0.9) for r in posteriors_as_lists(seen / 32)]
        )
        heat.append({"temperature": temperature, **degree_errors(seen, degrees), **covered})
    lines_figure(
        {name: [(row["k"], row[f"{name} bias"]) for row in errors] for name in ("plug-in", "corrected")},
        given.figures / "merge_degree.svg",
        x="chains k",
        y="bias of the merge degree",
        level=0.0,
    )
    lines_figure(
        {"coverage of the 90 % set": [(row["temperature"], row["coverage"]) for row in heat]},
        given.figures / "temperature.svg",
        x="sampling temperature",
        y="coverage",
        level=0.9,
    )
    save(
        given.out,
        "ddxplus",
        {
            "observations": OBSERVATIONS,
            "evidences": list(EVIDENCES),
            "true N_eff": {
                "mean": float(degrees.mean()),
                "median": float(np.median(degrees)),
                "max": float(degrees.max()),
            },
            "sets": sets,
            "degree": errors,
            "by degree at 32": by_degree(counts[32], degrees),
            "temperature": heat,
        },
    )


if __name__ == "__main__":
    main()
