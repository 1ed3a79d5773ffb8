"""What an operator can set, read once from the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from worker.errors import ConfigurationError

PREFIX = "MERGEREASONER_"
BROKERS = ("redis://", "rediss://", "redis+socket://", "sentinel://")
POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Return the user's state folder for us, by the XDG convention."""
    base = (
        environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".local/state"
    )
    return Path(base) / "merge-reasoner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting; each field ``x`` is the variable ``MERGEREASONER_X`` but for the two URLs."""

    state_dir: Path
    """Embedded data, models, logs."""

    database_url: str | None = field(default=None, repr=False)
    """``DATABASE_URL``; none means the embedded Postgres. May hold a password, so it is never shown."""

    broker_url: str | None = field(default=None, repr=False)
    """``BROKER_URL``; none means the embedded Valkey. May hold a password, so it is never shown."""

    tenant: str = "default"
    engine: str = "llamacpp"
    """``llamacpp``, ``transformers``, ``vllm``, ``openai`` or ``replay``; see docs/engines.md."""

    model: str = "qwen2.5-coder-0.5b"
    """A known model's name, a path to a GGUF file or a model's folder, or the name an endpoint or the hub knows."""

    nli_model: str = "minilm-mnli"
    """What judges entailment: the default, a hub name that was pulled (``owner/model``), or a folder."""

    base_url: str | None = None
    """Of the OpenAI-compatible endpoint; its key comes from ``OPENAI_API_KEY``."""

    logprobs: str = "auto"
    """``auto``, or ``never`` for an endpoint that gives none: then tasks that need them are refused at submission."""

    context_tokens: int = 4096
    """Room for one chain: prompt and answer."""

    parallel_chains: int = 8
    """Chains an engine works on at once; a GPU takes 64 or more."""

    engine_options: str = "{}"
    """More of the engine's own options, as a JSON object; see docs/engines.md."""

    pool_file: Path | None = None
    """More models that tasks may name; see docs/engines.md."""

    prompts_dir: Path | None = None
    """Instructions in place of ours, ``KIND.MODE.VARIANT.txt``; see docs/engines.md."""

    replay_file: Path | None = None
    """Recorded chains for the replay engine."""

    generate_threads: int = 4
    """Messages a generation worker works on at once; the engine batches their chains."""

    verify_threads: int = 2
    message_tasks: int = 8
    """Task ids in one message at most."""

    publish_window: int = 2000
    """Tasks of one queue handed to the broker at once; the reconciler tops up from Postgres."""

    lease_s: float = 10.0
    """How long a silent worker keeps a task; a living one renews it three times in that span."""

    sweep_s: float = 1.0
    """Seconds between two runs of the reconciler."""

    max_deliveries: int = 3
    """Claims of one stage after which a task that never ends it is parked as failed."""

    max_line_bytes: int = 4 * 1024 * 1024
    sandbox: str = "auto"
    """``auto``, ``bubblewrap``, ``docker`` or ``docker-container``; read by the sandbox itself, see docs/sandbox.md."""

    docker_runtime: str | None = None
    """A runtime of the Docker engine's, e.g. ``runsc``; read by the sandbox itself."""

    log_level: str = "INFO"
    ready_file: Path | None = None
    """Made by a worker when it takes messages; a supervisor waits for it."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that ``environment`` describes.

        Raises:
            ConfigurationError: A ``MERGEREASONER_*`` variable is unknown or malformed.
        """
        settings = cls(
            state_dir=default_state_dir(environment),
            database_url=environment.get("DATABASE_URL") or None,
            broker_url=environment.get("BROKER_URL") or None,
        )
        known = {f.name.upper(): f for f in fields(cls) if f.name not in {"database_url", "broker_url"}}
        changes: dict[str, object] = {}
        for variable, value in environment.items():
            if not variable.startswith(PREFIX):
                continue
            setting = known.get(variable.removeprefix(PREFIX))
            if setting is None:
                names = ", ".join(sorted(PREFIX + name for name in known))
                raise ConfigurationError(f"unknown setting {variable}; the settings are {names}")
            changes[setting.name] = _parse(variable, value, str(setting.type))
        for name, number in changes.items():
            if isinstance(number, (int, float)) and not (math.isfinite(number) and number > 0):
                raise ConfigurationError(f"{PREFIX}{name.upper()} must be above 0, not {number}")
        if changes.get("logprobs", "auto") not in {"auto", "never"}:
            raise ConfigurationError(f"{PREFIX}LOGPROBS must be auto or never, not {changes['logprobs']!r}")
        if settings.database_url is not None and not settings.database_url.startswith(POSTGRES):
            raise ConfigurationError(
                "DATABASE_URL must begin with postgresql://"
            )  # not shown: it may hold a password
        if settings.broker_url is not None and not settings.broker_url.startswith(BROKERS):
            raise ConfigurationError(f"BROKER_URL must begin with one of {', '.join(BROKERS)}")
        try:
            _ = urlsplit(settings.database_url or "").port, urlsplit(settings.broker_url or "").port
        except ValueError:
            raise ConfigurationError(
                "the host or port of DATABASE_URL or BROKER_URL cannot be read"
            ) from None
        return replace(settings, **changes)  # type: ignore[arg-type]  # parsed by the field's own type above

    @property
    def models_dir(self) -> Path:
        """Where weights are kept."""
        return self.state_dir / "models"


def _parse(variable: str, value: str, kind: str) -> object:
    try:
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value)
    except ValueError:
        raise ConfigurationError(f"{variable} must be a number, not {value!r}") from None
    return Path(value).expanduser() if kind.startswith("Path") else value


def settings() -> Settings:
    """Return the settings of this process; called by composition roots only."""
    return Settings.from_env(os.environ)
