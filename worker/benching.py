"""How fast an engine is on this machine: a few chains, timed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from worker.engines.protocol import ChainRequest, Engine, Message

PROMPT = "Explain in plain words how a queue works, with an example from daily life."


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured."""

    chains: int
    tokens: int
    together_s: float
    """All chains at once."""

    tokens_per_s: float
    alone_tokens_per_s: float
    """One chain with nobody beside it."""

    first_chain_s: float
    """Until the first of them was finished."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only, rounded as far as they mean something."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure_speed(engine: Engine, *, n_chains: int, max_tokens: int) -> Speed:
    """Return how fast the engine samples, after a short chain that warms it up.

    Raises:
        GenerationError: The engine could not answer.
    """
    _run(engine, n_chains=1, max_tokens=min(4, max_tokens))
    alone, alone_s, _ = _run(engine, n_chains=1, max_tokens=max_tokens)
    together, together_s, first_s = _run(engine, n_chains=n_chains, max_tokens=max_tokens)
    return Speed(
        chains=n_chains,
        tokens=together,
        together_s=together_s,
        tokens_per_s=together / together_s,
        alone_tokens_per_s=alone / alone_s,
        first_chain_s=first_s,
    )


def _run(engine: Engine, *, n_chains: int, max_tokens: int) -> tuple[int, float, float]:
    """Return tokens, seconds, and seconds to the first chain."""
    messages = (Message(role="user", content=PROMPT),)
    requests = [
        ChainRequest(index=i, messages=messages, seed=i, temperature=0.7, max_tokens=max_tokens)
        for i in range(n_chains)
    ]
    began = time.perf_counter()
    tokens, first_s = 0, 0.0
    for chain in engine.sample("bench", requests):
        tokens += chain.n_tokens
        first_s = first_s or time.perf_counter() - began
    return tokens, time.perf_counter() - began, first_s
