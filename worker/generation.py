"""Which engine a generation worker runs, from its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from worker.engines.pool import PoolEngine
from worker.engines.protocol import Engine
from worker.engines.registry import EngineOptions, build_engine
from worker.errors import ConfigurationError
from worker.models.catalogue import is_known
from worker.models.shelf import locate
from worker.roster import Member, offers_of, read_roster
from worker.settings import Settings, secret
from worker.submission.lines import DEFAULT_MODEL

FOLDER_ENGINES = {"transformers", "vllm"}


def open_engine(settings: Settings, environment: Mapping[str, str]) -> Engine:
    """Return the engine that the settings name, its model loaded; with a pool file, one for all its models.

    Raises:
        ConfigurationError: A setting or the pool file is wrong.
        EngineUnavailableError: The model of the settings cannot be loaded; others of the pool may come later.
        ModelFetchError: Its weights are not on this machine.
    """
    roster = read_roster(settings.pool_file)
    default = build_engine(settings.engine, engine_options(settings, environment))
    if not roster:
        return default
    return PoolEngine(
        {DEFAULT_MODEL: lambda: default}
        | {name: partial(_of_member, member, settings, environment) for name, member in roster.items()},
        offers=offers_of(roster, context_tokens=settings.context_tokens),
    )


def _of_member(member: Member, settings: Settings, environment: Mapping[str, str]) -> Engine:
    own = replace(
        settings,
        engine=member.engine,
        model=member.model,
        base_url=member.base_url,
        logprobs=member.logprobs,
        parallel_chains=member.parallel_chains or settings.parallel_chains,
        context_tokens=member.context_tokens or settings.context_tokens,
        engine_options=json.dumps(member.engine_options),
        replay_file=None if member.replay_file is None else Path(member.replay_file).expanduser(),
    )
    key = environment.get(member.key_variable, "")
    return build_engine(member.engine, engine_options(own, {**environment, "OPENAI_API_KEY": key}))


def loads_a_file(settings: Settings) -> bool:
    """Return whether the model is a file on this machine: one of the catalogue, or a GGUF of the user's own."""
    if settings.engine == "llamacpp":
        return True
    return settings.engine in FOLDER_ENGINES and (
        is_known(settings.model) or settings.model.endswith(".gguf")
    )


def engine_options(settings: Settings, environment: Mapping[str, str]) -> EngineOptions:
    """Return what the engine is built from; the endpoint's key comes from the environment and goes nowhere else.

    Raises:
        ConfigurationError: The key's file cannot be read, or the engine's own options are no JSON object.
        ModelFetchError: The model's weights are not on this machine; the message says how to fetch them.
    """
    where = _weights(settings)
    return EngineOptions(
        model=settings.model,
        **where,
        log_file=settings.state_dir / "logs" / "llamacpp.log",
        base_url=settings.base_url,
        api_key=secret(environment, "OPENAI_API_KEY"),
        replay_file=settings.replay_file,
        logprobs=settings.logprobs,
        context_tokens=settings.context_tokens,
        n_parallel=settings.parallel_chains,
        more=_object(settings.engine_options),
    )


def _weights(settings: Settings) -> dict[str, Any]:
    """Return which file or folder the engine loads; nothing for engines that load none."""
    model = settings.model
    if loads_a_file(settings):
        file = locate(model, settings.models_dir)
        return {"model_file": file, "converted_dir": settings.models_dir}
    if settings.engine not in FOLDER_ENGINES:
        return {}
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
