"""Which engine a generation worker runs, from its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.engines.registry import EngineOptions
from worker.errors import ConfigurationError
from worker.models.shelf import locate
from worker.settings import Settings


def engine_options(settings: Settings, environment: Mapping[str, str]) -> EngineOptions:
    """Return what the engine is built from; the endpoint's key comes from the environment and goes nowhere else.

    Raises:
        ConfigurationError: The engine's own options are no JSON object.
        ModelFetchError: The model's weights are not on this machine; the message says how to fetch them.
    """
    model_file = locate(settings.model, settings.models_dir) if settings.engine == "llamacpp" else None
    return EngineOptions(
        model=settings.model,
        model_file=model_file,
        log_file=settings.state_dir / "logs" / "llamacpp.log",
        base_url=settings.base_url,
        api_key=environment.get("OPENAI_API_KEY"),
        replay_file=settings.replay_file,
        logprobs=settings.logprobs,
        context_tokens=settings.context_tokens,
        n_parallel=settings.parallel_chains,
        more=_object(settings.engine_options),
    )


def _object(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"MERGEREASONER_ENGINE_OPTIONS is not JSON: {error}") from error
    if not isinstance(options, dict):
        raise ConfigurationError(
            'MERGEREASONER_ENGINE_OPTIONS must be a JSON object, e.g. {"dtype": "bfloat16"}'
        )
    return options
