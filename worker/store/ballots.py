"""Ballots <-> columns of gradings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from reasoner.ballot_table import BallotTable, Counts, Floats
from reasoner.ballots import Ballot

REFUTED, HINDERED, RIGHT = 1, 2, 4
PER_TASK, PER_CLUSTER = 3, 2
"""Numbers of a task for each of its models; numbers of a cluster beside one for each model."""


def to_numbers(ballot: Ballot) -> list[int]:
    """Return everything but models and masses, as ``gradings.ballot`` holds it.

    For each model its chains, then the right ones, then the wrong ones; then for each cluster its flags, its tie and
    how many chains of each model gave it.
    """
    numbers = [*ballot.sampled, *ballot.right, *ballot.wrong]
    for one in ballot.clusters:
        numbers += [REFUTED * one.refuted + HINDERED * one.hindered + RIGHT * one.right, one.tie, *one.given]
    return numbers


def ballot_table(lists: Sequence[str], lengths: Counts, numbers: Counts, mass: Floats) -> BallotTable:
    """Return the ballots of tasks as a table.

    Args:
        lists: Of each task, its models as JSON.
        lengths: How many numbers each has.
        numbers: Their numbers, one task's after the other's.
        mass: Of their clusters.
    """
    kinds = list(dict.fromkeys(lists))
    number_of = {text: i for i, text in enumerate(kinds)}
    kind = np.array([number_of[text] for text in lists], dtype=np.int64)
    named: list[list[str]] = [json.loads(text) for text in kinds]
    models = tuple(sorted({model for of in named for model in of}))
    width = np.array([len(of) for of in named], dtype=np.int64)[kind]
    sizes = (lengths - PER_TASK * width) // (PER_CLUSTER + width)
    begins = np.cumsum(lengths) - lengths
    by_task = np.zeros((PER_TASK, len(lists), len(models)), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    by_cluster = np.zeros((starts[-1], PER_CLUSTER), dtype=np.int64)
    given = np.zeros((starts[-1], len(models)), dtype=np.int64)
    task = np.repeat(np.arange(len(lists)), sizes)
    nth = np.arange(starts[-1]) - starts[task]
    for i, of in enumerate(named):
        at = [models.index(model) for model in of]
        mine = np.flatnonzero(kind == i)
        heads = begins[mine, None] + np.arange(PER_TASK * len(of))
        by_task[:, mine[:, None], at] = numbers[heads].reshape(len(mine), PER_TASK, len(of)).swapaxes(0, 1)
        clusters = np.flatnonzero(kind[task] == i)
        row = begins[task[clusters]] + PER_TASK * len(of) + nth[clusters] * (PER_CLUSTER + len(of))
        by_cluster[clusters] = numbers[row[:, None] + np.arange(PER_CLUSTER)]
        given[clusters[:, None], at] = numbers[row[:, None] + PER_CLUSTER + np.arange(len(of))]
    sampled, right, wrong = by_task
    flags, tie = by_cluster.T
    return BallotTable(
        models=models,
        sampled=sampled,
        right_chains=right,
        wrong_chains=wrong,
        starts=starts,
        given=given,
        tie=tie,
        mass=mass,
        refuted=(flags & REFUTED) > 0,
        hindered=(flags & HINDERED) > 0,
        right=(flags & RIGHT) > 0,
    )
