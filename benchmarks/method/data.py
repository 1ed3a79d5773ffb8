"""The data the method is measured on; its folder comes from ``--data`` or the variable BENCHMARK_DATA."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reasoner.normal_forms import normal_number
from reasoner.pool import PoolTask

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FOUR_MODELS = "gsm8k_four_models*.jsonl"
DDXPLUS = "ddxplus/symptom_condition_probs.json"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    default = os.environ.get("BENCHMARK_DATA")
    parser.add_argument(
        "--data", type=Path, default=default, required=default is None, help="folder of the data"
    )
    parser.add_argument("--out", type=Path, default=Path("build/method"), help="where the numbers go")
    parser.add_argument("--figures", type=Path, default=Path("docs/figures/method"), help="where plots go")
    return parser


def final_answer(solution: str) -> str | None:
    """Return what follows the last ``A:`` of a worked solution, in normal form."""
    _, marker, answer = solution.rpartition("A:")
    return normal_number(answer) or None if marker else None


def four_models(folder: Path) -> list[PoolTask]:
    """Return the problems with each model's extracted answer; the labels' own flags are not used.

    Raises:
        FileNotFoundError: There is no such file in the folder.
    """
    paths = sorted(folder.glob(FOUR_MODELS))
    if not paths:
        raise FileNotFoundError(folder / FOUR_MODELS)
    tasks = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            answers = {m: final_answer(v["solution"]) for m, v in row.items() if isinstance(v, dict)}
            tasks.append(PoolTask(answers=answers, truth=final_answer(row["ground_truth"])))
    return tasks


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """DDXPlus as a generative model: a condition by its count, then each evidence on its own."""

    prior: Floats  # (conditions,)
    likelihood: Floats  # (conditions, evidences): P(evidence present | condition)

    def observe(
        self, rng: np.random.Generator, *, n: int, evidences: tuple[int, ...]
    ) -> tuple[Floats, Bools]:
        """Return n exact posteriors, shape (n, conditions), and which condition is true, one-hot.

        A patient is sampled, then the answers to so many evidence questions are revealed. Which questions is
        drawn by how often they are answered yes in the whole population, never by this patient's answers, so
        that Bayes' rule on what was revealed is the exact posterior.
        """
        truth = rng.choice(len(self.prior), size=n, p=self.prior)
        marginal = self.prior @ self.likelihood
        asked_share = marginal / marginal.sum()
        posterior = np.empty((n, len(self.prior)))
        for row in range(n):
            n_asked = int(rng.choice(evidences))
            asked = rng.choice(len(asked_share), size=n_asked, replace=False, p=asked_share)
            chance = self.likelihood[:, asked]  # (conditions, asked)
            present = rng.random(n_asked) < chance[truth[row]]
            weight = self.prior * np.prod(np.where(present, chance, 1.0 - chance), axis=1)
            posterior[row] = weight / weight.sum()
        return posterior, np.arange(len(self.prior)) == truth[:, None]


def diagnoses(folder: Path) -> Diagnoses:
    """Return the DDXPlus tables.

    Raises:
        FileNotFoundError: They are not in the folder.
    """
    tables = json.loads((folder / DDXPLUS).read_text(encoding="utf-8"))
    conditions, evidences = tables["conditions"], tables["symptoms"]
    counts = np.array([tables["condition_counts"][c] for c in conditions], dtype=np.float64)
    likelihood = np.array([[tables["probabilities"][c][e] for e in evidences] for c in conditions])
    return Diagnoses(prior=counts / counts.sum(), likelihood=likelihood.astype(np.float64))
