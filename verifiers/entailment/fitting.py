"""Choosing a temperature and thresholds from labelled rows that the model was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from verifiers.entailment.calibration import Calibration
from verifiers.entailment.checkpoint import RELATIONS
from verifiers.nli import NliScores

TARGET_PRECISION = 0.8
"""What the small default model can keep; ask more of a better one."""

DELTA = 0.1
"""Chance that a threshold's true precision lies below the target all the same."""

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FEWEST = 40  # verdicts on fewer rows show nothing of a precision
NEVER_CONFIRM, NEVER_APART = 2.0, -1.0  # no probability reaches them
FLOOR = 1e-7  # scores come with six digits; a zero has no logarithm


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """What the model said of one labelled pair, at temperature 1."""

    scores: NliScores
    label: str


def fit_calibration(
    rows: Sequence[ScoredRow], *, revision: str, source: str, target: float = TARGET_PRECISION
) -> Calibration:
    """Return the temperature that explains the labels best, and the loosest thresholds of the wanted precision.

    Args:
        rows: Held out from training.
        revision: Of the weights that were scored with.
        source: Of the rows, in words.
        target: Precision that each of the three kinds of verdict must have, with confidence 1 - ``DELTA``.

    Raises:
        ValueError: There are fewer than ``FEWEST`` rows.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"{len(rows)} rows are too few to calibrate on; {FEWEST} are needed at least")
    logits = np.log(np.maximum([[getattr(row.scores, name) for name in RELATIONS] for row in rows], FLOOR))
    labels = np.array([RELATIONS.index(row.label) for row in rows])
    temperature = _temperature(logits, labels)
    shares = _softmax(logits / temperature)
    entails, contradicts = shares[:, 0], shares[:, 2]
    confirm = _threshold(entails, labels == 0, target)
    refute = _threshold(contradicts, labels == 2, target)
    not_entailed = _threshold(1.0 - entails, labels != 0, target)
    confirm = NEVER_CONFIRM if confirm is None else confirm
    apart = NEVER_APART if not_entailed is None else 1.0 - not_entailed
    return Calibration(
        temperature=temperature,
        confirm=confirm,
        refute=NEVER_CONFIRM if refute is None else refute,
        apart=min(apart, float(np.nextafter(confirm, 0.0))),
        target_precision=target,
        n_rows=len(rows),
        revision=revision,
        source=source,
    )


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the T that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017)."""
    index = np.arange(len(labels))

    def loss(log_t: float) -> float:
        return -float(np.log(np.maximum(_softmax(logits / np.exp(log_t))[index, labels], FLOOR)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _threshold(scores: NDArray[np.float64], right: NDArray[np.bool_], target: float) -> float | None:
    """Return the loosest threshold whose precision is at least ``target``; ``None`` when no threshold's is.

    Tried are the thresholds that give a verdict on each of ``SHARES`` of the rows. Each is judged by the exact binomial
    lower bound of its precision (Clopper & Pearson) at confidence 1 - ``DELTA`` / number of thresholds, so that the
    bound holds for whichever is chosen (Bonferroni; Angelopoulos et al. 2021, Learn then Test).
    """
    descending = -np.sort(-scores)
    found = None
    for share in SHARES:
        n_wanted = int(share * len(scores))
        if n_wanted < FEWEST:
            continue
        threshold = float(descending[n_wanted - 1])
        given = scores >= threshold
        n_right, n_given = int(right[given].sum()), int(given.sum())
        lower = float(beta.ppf(DELTA / len(SHARES), n_right, n_given - n_right + 1)) if n_right else 0.0
        if lower >= target:
            found = threshold
    return found


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
