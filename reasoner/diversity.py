"""How the chains of a task are made to differ: temperatures, seeds and prompt variants; never beam search."""

from __future__ import annotations

import hashlib

from reasoner.errors import InvalidRuleError

COLDEST = 0.3
HOTTEST = 0.9
"""The paper's range of temperatures."""


def temperatures(k: int) -> tuple[float, ...]:
    """Return k temperatures spread evenly over [0.3, 0.9]; one chain gets the middle.

    In an order of which every beginning spreads over the range (by reversed bits, as van der Corput's sequence):
    with early exit only the first chains are sampled, and were they the coldest they would agree too soon.
    Eight chains: ranks 0, 4, 2, 6, 1, 5, 3, 7.

    Raises:
        InvalidRuleError: ``k`` is negative.
    """
    if k < 0:
        raise InvalidRuleError(f"cannot sample {k} chains")
    if k == 1:
        return (round((COLDEST + HOTTEST) / 2, 4),)
    width = (k - 1).bit_length() if k else 0
    ranks = sorted(range(k), key=lambda rank: f"{rank:0{width}b}"[::-1])
    return tuple(round(COLDEST + (HOTTEST - COLDEST) * rank / (k - 1), 4) for rank in ranks)


def seeds(k: int, task_id: str) -> tuple[int, ...]:
    """Return the seeds of chains 0 to k - 1: 0..k-1, permuted by the task's id.

    A permutation, so that a seed never occurs twice in a task; by the id, so that a seed is not always paired
    with the same temperature. It hashes, and so is the same on every machine and Python.

    Raises:
        InvalidRuleError: ``k`` is negative.
    """
    if k < 0:
        raise InvalidRuleError(f"cannot sample {k} chains")
    return tuple(sorted(range(k), key=lambda seed: hashlib.sha256(f"{task_id}/{seed}".encode()).digest()))


def turns(k: int, n: int, *, each: int = 1) -> tuple[int, ...]:
    """Return which of n things (models, prompt variants) each of k chains uses.

    In turn, and each round begins one further on: chains 0, 1, 2, 3 of two things use 0, 1, 1, 0. Plain turns would
    give one of two things all the cold temperatures, since those alternate too.

    Args:
        k: Chains.
        n: Things.
        each: So many chains in a row use the same thing: with as many models, every model meets every variant.

    Raises:
        InvalidRuleError: ``k`` is negative, or there is no thing.
    """
    if k < 0 or n < 1 or each < 1:
        raise InvalidRuleError(f"cannot give {n} models or prompt variants to {k} chains")
    rounds = [i // each for i in range(k)]
    return tuple((i + i // n) % n for i in rounds)
