"""Which engines there are, by the name an operator writes; each library is imported only when chosen."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.engines.protocol import Engine
from worker.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engines need to know; each reads its own part."""

    model: str
    """Name that stands on every chain; an endpoint's own name for the model."""

    model_file: Path | None = None
    """Weights in GGUF: what ``llamacpp`` runs, and ``transformers`` and ``vllm`` make a folder from."""

    model_dir: str | None = None
    """For ``transformers`` and ``vllm``: a folder of safetensors, or a name of the model hub."""

    converted_dir: Path | None = None
    """Where those two put the folders that they make from GGUFs."""

    log_file: Path | None = None
    """Where ``llamacpp`` writes what goes wrong while a model loads."""

    base_url: str | None = None
    """For ``openai``."""

    api_key: str | None = field(default=None, repr=False)
    """For ``openai``."""

    replay_file: Path | None = None
    """For ``replay``."""

    logprobs: str = "auto"
    """For ``openai``: ``auto`` or ``never``."""

    more: Mapping[str, Any] = field(default_factory=dict)
    """For ``transformers`` and ``vllm``: options of the library's own, by their names there."""

    n_parallel: int = 8
    """Chains that are worked on at once."""

    context_tokens: int = 4096
    """Room for one chain: prompt and answer."""


def build_engine(name: str, options: EngineOptions) -> Engine:
    """Return the engine of this name, its model loaded.

    Raises:
        ConfigurationError: No engine has this name, or an option that it needs is missing.
        EngineUnavailableError: Its model cannot be loaded.
    """
    if name not in ENGINES:
        raise ConfigurationError(f"unknown engine {name!r}; the engines are {', '.join(sorted(ENGINES))}")
    if options.more and name not in TAKE_MORE:
        raise ConfigurationError(
            f"the engine {name} takes no options of its own (MERGEREASONER_ENGINE_OPTIONS): {', '.join(options.more)}"
        )
    return ENGINES[name](options)


def _replay(options: EngineOptions) -> Engine:
    from worker.engines.replay import ReplayEngine

    if options.replay_file is None:
        raise ConfigurationError(
            "the engine replay needs the file of the recorded chains (MERGEREASONER_REPLAY_FILE)"
        )
    return ReplayEngine.from_file(options.replay_file)


def _openai(options: EngineOptions) -> Engine:
    from worker.engines.openai_compatible import OpenAIEngine

    if options.base_url is None:
        raise ConfigurationError("the engine openai needs the endpoint's address (MERGEREASONER_BASE_URL)")
    return OpenAIEngine(
        base_url=options.base_url,
        model=options.model,
        api_key=options.api_key,
        logprobs=options.logprobs != "never",
        concurrency=options.n_parallel,
        context_tokens=options.context_tokens,
    )


def _llamacpp(options: EngineOptions) -> Engine:
    from worker.engines.llamacpp import LlamaCppEngine

    if options.model_file is None:
        raise ConfigurationError(
            "the engine llamacpp needs a model file; merge-reasoner models pull fetches one"
        )
    return LlamaCppEngine(
        options.model_file,
        model=options.model,
        n_parallel=options.n_parallel,
        context_tokens=options.context_tokens,
        log_file=options.log_file,
    )


def _transformers(options: EngineOptions) -> Engine:
    _require("transformers", "torch", engine="transformers")
    from worker.engines.transformers_batch import TransformersEngine

    return TransformersEngine(
        _folder(options, engine="transformers"),
        model=options.model,
        n_parallel=options.n_parallel,
        context_tokens=options.context_tokens,
        more=options.more,
    )


def _vllm(options: EngineOptions) -> Engine:
    _require("vllm", engine="vllm")
    from worker.engines.vllm_async import VllmEngine

    return VllmEngine(
        _folder(options, engine="vllm"),
        model=options.model,
        n_parallel=options.n_parallel,
        context_tokens=options.context_tokens,
        more=options.more,
    )


def _require(*libraries: str, engine: str) -> None:
    missing = [library for library in libraries if importlib.util.find_spec(library) is None]
    if missing:
        raise ConfigurationError(
            f"the engine {engine} needs {' and '.join(missing)}, an extra; docs/engines.md says how to install it"
        )


def _folder(options: EngineOptions, *, engine: str) -> str:
    from worker.engines.folders import converted

    if options.model_dir is not None:
        return options.model_dir
    if options.model_file is None or options.converted_dir is None:
        raise ConfigurationError(
            f"the engine {engine} needs a model (MERGEREASONER_MODEL): a folder of safetensors, a name of the model "
            "hub, or a GGUF to be converted"
        )
    return str(converted(options.model_file, options.converted_dir))


TAKE_MORE = {"transformers", "vllm"}

NEEDS = {"openai": ("base_url",), "replay": ("replay_file",)}
"""Options, by their names above, without which an engine cannot be built whatever its model is called."""

ENGINES: dict[str, Callable[[EngineOptions], Engine]] = {
    "llamacpp": _llamacpp,
    "openai": _openai,
    "replay": _replay,
    "transformers": _transformers,
    "vllm": _vllm,
}
