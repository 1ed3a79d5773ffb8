"""What each engine will be able to do, told without loading its model: for whoever submits."""

from __future__ import annotations

from collections.abc import Mapping

from worker.engines.protocol import Capabilities
from worker.engines.registry import ENGINES
from worker.engines.replay import NO_CONTEXT_LIMIT
from worker.errors import ConfigurationError


def offer_of(
    engine: str, *, logprobs: str, context_tokens: int, members: Mapping[str, Capabilities] | None = None
) -> Capabilities:
    """Return what the engine that the settings name can do at the most.

    What only the running engine knows (whether an endpoint gives logprobs, whether a recording has enough chains)
    counts as given here: then the task itself fails, with the engine's own words.

    Args:
        engine: By the name of the registry.
        logprobs: ``auto``, or ``never`` for an endpoint that is known to give none.
        context_tokens: The setting.
        members: What the models of the pool beside the default one can do.

    Raises:
        ConfigurationError: There is no such engine.
    """
    if engine not in ENGINES:
        raise ConfigurationError(f"unknown engine {engine!r}; the engines are {', '.join(sorted(ENGINES))}")
    return Capabilities(
        logprobs=not (engine == "openai" and logprobs == "never"),
        seeds=True,
        max_context_tokens=NO_CONTEXT_LIMIT if engine == "replay" else context_tokens,
        concurrency=1,
        models=frozenset({"default", *(members or {})}),
        members=members or {},
    )
