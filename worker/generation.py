"""Which engine a generation worker runs, from its settings."""

from __future__ import annotations

from collections.abc import Mapping

from worker.engines.registry import EngineOptions
from worker.models.shelf import locate
from worker.settings import Settings, secret


def engine_options(settings: Settings, environment: Mapping[str, str]) -> EngineOptions:
    """Return what the engine is built from; the endpoint's key comes from the environment and goes nowhere else.

    Raises:
        ConfigurationError: The key's file cannot be read.
        ModelFetchError: The model's weights are not on this machine; the message says how to fetch them.
    """
    model_file = locate(settings.model, settings.models_dir) if settings.engine == "llamacpp" else None
    return EngineOptions(
        model=settings.model,
        model_file=model_file,
        log_file=settings.state_dir / "logs" / "llamacpp.log",
        base_url=settings.base_url,
        api_key=secret(environment, "OPENAI_API_KEY"),
        replay_file=settings.replay_file,
    )
