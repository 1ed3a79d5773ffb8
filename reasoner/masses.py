"""How much each chain weighs: l_i = logprob_i / length_i, or 0 for all where that is unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reasoner.chains import Chain
from reasoner.decisions import Weights
from reasoner.errors import InvalidChainError, InvalidRuleError


def in_order(chains: Sequence[Chain]) -> list[Chain]:
    """Return the chains by ascending index, so that nothing depends on the order they came in.

    Raises:
        InvalidChainError: An index is negative or occurs twice (with the same part), or a chain's numbers are
            impossible.
    """
    ordered = sorted(chains, key=lambda chain: (chain.index, chain.part))
    previous = (-1, 0)
    for chain in ordered:
        if chain.index < 0 or (chain.index, chain.part) == previous:
            what = "is negative" if chain.index < 0 else "occurs twice"
            raise InvalidChainError(f"chain index {chain.index} {what}", index=chain.index)
        previous = (chain.index, chain.part)
        if chain.logprob is not None:
            _check_logprob(chain, chain.logprob)
    return ordered


def _check_logprob(chain: Chain, logprob: float) -> None:
    if not math.isfinite(logprob):
        raise InvalidChainError(f"chain {chain.index}: logprob {logprob} is not finite", index=chain.index)
    if logprob > 0:
        message = f"chain {chain.index}: logprob {logprob} is positive, and no probability exceeds 1"
        raise InvalidChainError(message, index=chain.index)
    if chain.n_tokens is not None and chain.n_tokens <= 0:
        message = f"chain {chain.index}: a logprob over {chain.n_tokens} tokens has no mean"
        raise InvalidChainError(message, index=chain.index)


def length_normalised(chain: Chain) -> float | None:
    """Return l_i, the mean token logprob in nats and at most 0; ``None`` where it is unknown."""
    if chain.logprob is None or chain.n_tokens is None:
        return None
    return chain.logprob / chain.n_tokens


def log_masses(chains: Sequence[Chain]) -> tuple[list[float], Weights]:
    """Return l_i of each chain, in the order given, and where it comes from.

    One answered chain without a logprob makes every l_i 0, so that posteriors are vote shares: a chain of
    unknown weight among weighed ones would be worth whatever we invented for it. A chain without an answer
    and without a logprob weighs exp(0) = 1, the most it could have weighed: it can only lower confidence.
    """
    raw = [length_normalised(chain) for chain in chains]
    known = any(chain.answer is not None for chain in chains) and all(
        mean is not None for chain, mean in zip(chains, raw, strict=True) if chain.answer is not None
    )
    if not known:
        return [0.0] * len(chains), "votes"
    return [0.0 if mean is None else mean for mean in raw], "logprobs"


def log_model_weights(chains: Sequence[Chain], model_weights: Mapping[str, float] | None) -> list[float]:
    """Return the log weight of each chain's model; a model that is not named weighs 1.

    Raises:
        InvalidRuleError: A weight is not a positive finite number.
    """
    if not model_weights:
        return [0.0] * len(chains)
    for model, weight in model_weights.items():
        if not (math.isfinite(weight) and weight > 0):
            raise InvalidRuleError(f"weight of model {model!r} must be positive and finite, not {weight}")
    return [math.log(model_weights.get(chain.model, 1.0)) for chain in chains]


def log_sum_exp(values: Sequence[float]) -> float:
    """Return log(sum(exp(values))), exactly rounded inside and so independent of their order."""
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))
