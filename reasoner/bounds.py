"""What can be promised about an answer, with the assumptions of each promise.

``p`` is the accuracy of one chain and ``rho`` the correlation of the correctness of two chains of one task;
both are measured on labelled decisions of the domain (``measure``), never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoner.errors import InsufficientCalibrationDataError, InvalidRuleError

Counts = NDArray[np.int64] | NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SingletonSuccess:
    """How often one answer can be right, given how many explanations are alive (Theorem 8)."""

    at_least: float
    """1 / N_eff: what an answer drawn from the posterior achieves, and the best one never falls below."""

    exactly: float
    """The highest posterior: what the best one achieves if the posterior is true."""

    at_most: float
    """1 / sqrt(N_eff)."""


def singleton_success(posterior: Sequence[float]) -> SingletonSuccess:
    """Return 1/N_eff <= max p <= 1/sqrt(N_eff), with N_eff = 1 / sum p^2 (Theorem 8).

    All three meet only when one explanation is alive; the first two meet exactly when those alive are equally
    probable (exchangeable priors). 1/N_eff is therefore *not* a ceiling: a peaked posterior beats it.

    Args:
        posterior: Sums to 1; renormalise over the candidates first.
    """
    collision = math.fsum(p * p for p in posterior)
    return SingletonSuccess(
        at_least=collision, exactly=max(posterior, default=0.0), at_most=math.sqrt(collision)
    )


def effective_chains(n: int, rho: float) -> float:
    """Return n / (1 + (n - 1) rho): how many independent chains n correlated ones are worth.

    A negative rho counts as 0: chains of one model do not err less alike than independent ones, so a negative
    measurement is noise, and a bound must not profit from noise.

    Raises:
        InvalidRuleError: ``n`` < 1 or ``rho`` > 1 or NaN.
    """
    if n < 1 or not rho <= 1.0:
        raise InvalidRuleError(f"{n} chains with correlation {rho}")
    return n / (1.0 + (n - 1) * max(0.0, rho))


def majority_error(n: int, p: float) -> float:
    """Return the exact chance that no strict majority of n independent chains is right; a tie is an error."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n // 2 + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusBound:
    """What a majority of n chains can be promised in one domain (Theorem 11)."""

    n: int
    p: float
    rho: float
    n_effective: float
    helps: bool
    """Whether p > 1/2; otherwise merging does not help here, and both bounds are 1."""

    hoeffding: float
    """exp(-2 n_eff (p - 1/2)^2): a theorem for independent chains, an approximation for correlated ones."""

    cantelli: float
    """v / (v + (p - 1/2)^2), v = p (1 - p) / n_eff: weaker, but a theorem for any chains of this rho."""

    @property
    def verdict(self) -> str:
        """One sentence for the user."""
        if not self.helps:
            return "merging does not help here: a single chain is right no more than half of the time"
        return f"a majority errs at most {min(self.hoeffding, 1.0):.3g} of the time"


def consensus_bound(n: int, *, p: float, rho: float = 0.0) -> ConsensusBound:
    """Return the Condorcet/Hoeffding bound on the majority's error (Theorem 11).

    Assumes that wrong chains may all agree (the worst case) and that tasks of the domain are alike in p. With
    rho = 0 both bounds hold for independent chains; with rho > 0 only Cantelli's is a theorem, since Hoeffding's
    inequality knows no correlation and n_eff merely gives the mean its right variance.

    Raises:
        InvalidRuleError: ``p`` outside [0, 1], ``n`` < 1, or ``rho`` > 1.
    """
    if not 0.0 <= p <= 1.0:
        raise InvalidRuleError(f"an accuracy lies in [0, 1], not {p}")
    n_effective = effective_chains(n, rho)
    helps = p > 0.5
    edge = (p - 0.5) ** 2
    variance = p * (1 - p) / n_effective
    return ConsensusBound(
        n=n,
        p=p,
        rho=rho,
        n_effective=n_effective,
        helps=helps,
        hoeffding=math.exp(-2 * n_effective * edge) if helps else 1.0,
        cantelli=variance / (variance + edge) if helps else 1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """p and rho as found on labelled tasks."""

    p: float
    rho: float
    n_tasks: int


def measure(correct: Sequence[Sequence[bool]]) -> Measured:
    """Return the accuracy of a chain and the correlation of two chains of one task.

    rho = (P(both right) - p^2) / (p (1 - p)), with P(both right) the mean over tasks of s (s - 1) / (n (n - 1))
    for s right chains of n; tasks with a single chain say nothing of pairs. 0 when p is 0 or 1, or without pairs.

    Args:
        correct: Per task, whether each of its chains was right.

    Raises:
        InsufficientCalibrationDataError: No task has a chain.
    """
    return measure_counts(
        np.array([sum(task) for task in correct], dtype=np.int64),
        np.array([len(task) for task in correct], dtype=np.int64),
    )


def measure_counts(right: Counts, chains: Counts) -> Measured:
    """Return what ``measure`` does from how many chains of each task were right, and how many there were.

    Raises:
        InsufficientCalibrationDataError: No task has a chain.
    """
    right, chains = right[chains > 0], chains[chains > 0]
    if not len(chains):
        raise InsufficientCalibrationDataError("no labelled task has a chain")
    shares = right / chains
    p = _mean(shares)
    paired = chains > 1
    if not paired.any() or p in {0.0, 1.0}:
        return Measured(p=p, rho=0.0, n_tasks=len(chains))
    s, n = right[paired], chains[paired]
    of_paired = _mean(shares[paired])
    both = _mean(s * (s - 1) / (n * (n - 1)))
    spread = of_paired * (1 - of_paired)
    rho = (both - of_paired**2) / spread if spread else 0.0
    return Measured(p=p, rho=min(1.0, rho), n_tasks=len(chains))


def _mean(values: NDArray[np.float64]) -> float:
    return math.fsum(values.tolist()) / len(values)
