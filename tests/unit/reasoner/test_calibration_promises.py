"""What the calibration promises, counted over many calibrations on patients whose truth is known (DDXPlus)."""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_left

import pytest

from reasoner.calibration import conformal_lambda, empirical_lambda
from reasoner.labelled_decision import LabelledDecision
from reasoner.selective import certify
from tests.unit.reasoner.population import population

ALPHA = 0.9
SMALLEST_MASS = 1e-300


@pytest.fixture(scope="module")
def patients() -> list[LabelledDecision]:
    return population(0, n=4000, k=None, evidences=(8, 16, 32))


@pytest.fixture(scope="module")
def voted() -> list[LabelledDecision]:
    return population(1, n=3000, k=8, evidences=(16, 32))


def coverages(everybody: list[LabelledDecision], lambdas: list[float]) -> list[float]:
    """The share of all patients that each lambda covers: its true coverage."""
    truths = sorted(d.of_truth for d in everybody)
    return [1 - bisect_left(truths, max(found, SMALLEST_MASS)) / len(truths) for found in lambdas]


@pytest.mark.parametrize("n", [19, 40, 100])
def test_conformal_coverage_is_alpha_on_average_over_many_calibrations(
    patients: list[LabelledDecision], n: int
) -> None:
    rng = random.Random(n)
    runs = [[d.labelled for d in rng.sample(patients, n)] for _ in range(300)]
    covered = coverages(patients, [conformal_lambda(run, alpha=ALPHA) for run in runs])
    error = statistics.stdev(covered) / math.sqrt(len(runs))
    mean = statistics.mean(covered)
    assert mean >= ALPHA - 3 * error
    assert mean <= ALPHA + 1 / (n + 1) + 3 * error  # and no more than the correction costs


def test_the_plain_empirical_lambda_is_as_optimistic_as_it_is_known_to_be(
    patients: list[LabelledDecision],
) -> None:
    rng = random.Random(2)
    runs = [[d.labelled for d in rng.sample(patients, 40)] for _ in range(200)]
    chosen = [empirical_lambda(run, alpha=ALPHA) for run in runs]
    assert all(point is not None and point.coverage >= ALPHA for point in chosen)  # on what it was fitted on
    covered = coverages(patients, [point.lambda_ for point in chosen if point is not None])
    error = statistics.stdev(covered) / math.sqrt(len(runs))
    assert statistics.mean(covered) < ALPHA - 3 * error


@pytest.mark.parametrize(("target", "n"), [(0.2, 250), (0.3, 150)])
def test_the_selective_risk_exceeds_its_target_in_at_most_delta_of_the_runs(
    voted: list[LabelledDecision], target: float, n: int
) -> None:
    delta, rng, n_runs = 0.1, random.Random(n), 200
    true_risk: dict[tuple[float, float], float] = {}

    def risk(tau_margin: float, tau_conf: float) -> float:
        if (tau_margin, tau_conf) not in true_risk:
            answered = [d for d in voted if d.margin >= tau_margin and d.confidence >= tau_conf]
            true_risk[tau_margin, tau_conf] = sum(not d.right for d in answered) / len(answered)
        return true_risk[tau_margin, tau_conf]

    exceeded = certified_some = 0
    for _ in range(n_runs):
        found = certify(rng.sample(voted, n), target_risk=target, delta=delta)
        certified_some += bool(found)
        exceeded += any(risk(pair.tau_margin, pair.tau_conf) > target for pair in found)  # any of them at all
    assert exceeded <= delta * n_runs
    assert certified_some > 0.9 * n_runs  # the promise is not kept by never promising


def test_picking_the_threshold_that_looks_best_without_a_test_breaks_the_target_often(
    voted: list[LabelledDecision],
) -> None:
    rng, broken, target = random.Random(4), 0, 0.2
    for _ in range(100):
        sample = sorted(rng.sample(voted, 100), key=lambda d: -d.confidence)
        for tau in sorted({d.confidence for d in sample}):
            answered = [d for d in sample if d.confidence >= tau]
            if sum(not d.right for d in answered) <= target * len(answered):
                everybody = [d for d in voted if d.confidence >= tau]
                broken += sum(not d.right for d in everybody) > target * len(everybody)
                break
    assert broken > 10
