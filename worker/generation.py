"""Which engine a generation worker runs, from its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.registry import EngineOptions
from worker.errors import ConfigurationError
from worker.models.catalogue import is_known
from worker.models.shelf import locate
from worker.settings import Settings

FOLDER_ENGINES = {"transformers", "vllm"}


def engine_options(settings: Settings, environment: Mapping[str, str]) -> EngineOptions:
    """Return what the engine is built from; the endpoint's key comes from the environment and goes nowhere else.

    Raises:
        ConfigurationError: The engine's own options are no JSON object.
        ModelFetchError: The model's weights are not on this machine; the message says how to fetch them.
    """
    where = _weights(settings)
    return EngineOptions(
        model=settings.model,
        **where,
        log_file=settings.state_dir / "logs" / "llamacpp.log",
        base_url=settings.base_url,
        api_key=environment.get("OPENAI_API_KEY"),
        replay_file=settings.replay_file,
        logprobs=settings.logprobs,
        context_tokens=settings.context_tokens,
        n_parallel=settings.parallel_chains,
        more=_object(settings.engine_options),
    )


def _weights(settings: Settings) -> dict[str, Any]:
    """Return which file or folder the engine loads; nothing for engines that load none."""
    model = settings.model
    if settings.engine == "llamacpp":
        return {"model_file": locate(model, settings.models_dir)}
    if settings.engine not in FOLDER_ENGINES:
        return {}
    if is_known(model) or model.endswith(".gguf"):
        file = locate(model, settings.models_dir)
        return {"model_file": file, "converted_dir": settings.models_dir / f"{file.stem}-bf16"}
    folder = Path(model).expanduser()
    return {"model_dir": str(folder) if folder.is_dir() else model}


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
