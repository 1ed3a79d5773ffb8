"""Several models on one question: the merge operator and the consensus gain (Definitions 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reasoner.errors import InvalidRuleError

TAU_MIN = 0.01
"""An answer a model holds no more probable than this does not enter the union."""


def merge_operator(
    outputs: Mapping[str, Mapping[str, float]], *, tau_min: float = TAU_MIN
) -> dict[str, dict[str, float]]:
    """Return the union over models of the answers y with P_M(y | x) > tau_min (Definition 1).

    Adding a model adds its answers and touches no others, so the old ones need no re-run.

    Args:
        outputs: Per model, the probability of each of its answers.
        tau_min: Must be exceeded.

    Returns:
        Per answer, the models that hold it with their probability; answers and models in text order.
    """
    union: dict[str, dict[str, float]] = {}
    for model in sorted(outputs):
        for answer, probability in outputs[model].items():
            if probability > tau_min:
                union.setdefault(answer, {})[model] = probability
    return dict(sorted(union.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusGain:
    """How similar the models' outputs are."""

    models: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    """Similarity of each two models, in the order of ``models``; symmetric, ones on the diagonal."""

    gain: float
    """Mean over the pairs; 1 for a model alone, which has nobody to differ from."""


def consensus_gain(
    outputs: Mapping[str, str | None], *, similarity: Callable[[str, str], float]
) -> ConsensusGain:
    """Return the mean pairwise similarity of the models' outputs (Definition 2), with the matrix.

    A model without an answer is similar to none, not even to another such.

    Args:
        outputs: Per model, its answer.
        similarity: Symmetric, in [0, 1]; asked about each pair of models once, in text order.

    Raises:
        InvalidRuleError: There is no model, or a similarity lies outside [0, 1].
    """
    models = sorted(outputs)
    if not models:
        raise InvalidRuleError("a consensus needs at least one model")
    n = len(models)
    matrix = [[1.0] * n for _ in range(n)]
    pairs = []
    for j in range(n):
        for i in range(j):
            one, other = outputs[models[i]], outputs[models[j]]
            value = 0.0 if one is None or other is None else similarity(*sorted((one, other)))
            if not 0.0 <= value <= 1.0:
                raise InvalidRuleError(f"similarity {value} lies outside [0, 1]")
            matrix[i][j] = matrix[j][i] = value
            pairs.append(value)
    return ConsensusGain(
        models=tuple(models),
        matrix=tuple(tuple(row) for row in matrix),
        gain=math.fsum(pairs) / len(pairs) if pairs else 1.0,
    )


def mean_matrix(gains: Sequence[ConsensusGain]) -> ConsensusGain:
    """Return the mean over tasks of the same models.

    Raises:
        InvalidRuleError: There is none, or they are of different models.
    """
    if not gains or any(one.models != gains[0].models for one in gains):
        raise InvalidRuleError("a mean consensus needs tasks of the same models")
    n = len(gains[0].models)
    cells = [[math.fsum(g.matrix[i][j] for g in gains) / len(gains) for j in range(n)] for i in range(n)]
    return ConsensusGain(
        models=gains[0].models,
        matrix=tuple(tuple(row) for row in cells),
        gain=math.fsum(one.gain for one in gains) / len(gains),
    )
