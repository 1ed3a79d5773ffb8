"""What an operator can set, read once from the environment."""

from __future__ import annotations

import math
import os
import re
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
    """Of the OpenAI-compatible endpoint; its key comes from ``OPENAI_API_KEY`` or the file ``OPENAI_API_KEY_FILE``."""

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

    ageing_s: float = 300.0
    """Waiting time after which a task counts as one priority higher, so that nothing waits for ever."""

    lease_s: float = 10.0
    """How long a silent worker keeps a task; a living one renews it three times in that span."""

    soft_stop_s: float = 10.0
    """How long a soft stop (SIGQUIT) waits for what is at work before it gives it back."""

    sweep_s: float = 1.0
    """Seconds between two runs of the reconciler."""

    max_deliveries: int = 3
    """Claims of one stage after which a task that never ends it is parked as failed."""

    calibrate_at: str = "02:30"
    """When the nightly calibration is due, HH:MM in UTC; ``off`` leaves it to the command."""

    calibrate_alpha: float = 0.9
    """Share of tasks whose set is to hold the truth."""

    calibrate_target_risk: float = 0.1
    """Error rate to be allowed among the answered."""

    calibrate_delta: float = 0.1
    """Chance that the error rate exceeds it all the same."""

    calibrate_window_days: float = 90.0
    calibrate_max_labels: int = 5_000
    """Labelled decisions of one domain that a night looks at, the newest."""

    calibrate_max_change: float = 0.3
    """Largest move of a threshold that comes into force by itself."""

    seal_every_s: float = 3600.0
    """How old the last seal may become while decisions wait for one."""

    max_line_bytes: int = 4 * 1024 * 1024
    sandbox: str = "auto"
    """``auto``, ``bubblewrap``, ``docker`` or ``docker-container``; read by the sandbox itself, see docs/sandbox.md."""

    docker_runtime: str | None = None
    """A runtime of the Docker engine's, e.g. ``runsc``; read by the sandbox itself."""

    deaf_after_s: float = 15.0
    """How long an idle worker may leave messages waiting before it counts as deaf; after twice that it ends itself."""

    swept_within_s: float = 60.0
    """How long a reconciler may go without ending a sweep before it counts as ill."""

    log_level: str = "INFO"
    metrics_port: int | None = None
    """Where a worker answers GET /metrics; none serves no metrics. `up` gives its workers ports from here on."""

    metrics_host: str = "127.0.0.1"
    """The address it answers on; 0.0.0.0 in a container."""

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
            database_url=secret(environment, "DATABASE_URL"),
            broker_url=secret(environment, "BROKER_URL"),
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
        _check_values(changes)
        _check_urls(settings)
        return replace(settings, **changes)  # type: ignore[arg-type]  # parsed by the field's own type above

    @property
    def processes_dir(self) -> Path:
        """Where the processes of this machine tell how they are."""
        return self.state_dir / "processes"

    @property
    def models_dir(self) -> Path:
        """Where weights are kept."""
        return self.state_dir / "models"


def _check_values(changes: Mapping[str, object]) -> None:
    for name, number in changes.items():
        if isinstance(number, (int, float)) and not (math.isfinite(number) and number > 0):
            raise ConfigurationError(f"{PREFIX}{name.upper()} must be above 0, not {number}")
    at = changes.get("calibrate_at", "off")
    if at != "off" and not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", str(at)):
        raise ConfigurationError(f"{PREFIX}CALIBRATE_AT must be HH:MM or off, not {at!r}")
    if changes.get("logprobs", "auto") not in {"auto", "never"}:
        raise ConfigurationError(f"{PREFIX}LOGPROBS must be auto or never, not {changes['logprobs']!r}")


def _check_urls(settings: Settings) -> None:
    if settings.database_url is not None and not settings.database_url.startswith(POSTGRES):
        raise ConfigurationError(
            "DATABASE_URL must begin with postgresql://"
        )  # not shown: it may hold a password
    if settings.broker_url is not None and not settings.broker_url.startswith(BROKERS):
        raise ConfigurationError(f"BROKER_URL must begin with one of {', '.join(BROKERS)}")
    try:
        _ = urlsplit(settings.database_url or "").port, urlsplit(settings.broker_url or "").port
    except ValueError:
        raise ConfigurationError("the host or port of DATABASE_URL or BROKER_URL cannot be read") from None


def secret(environment: Mapping[str, str], name: str) -> str | None:
    """Return what ``name`` holds, or else what the file holds that ``name`` + ``_FILE`` names; None for neither.

    Raises:
        ConfigurationError: The file can't be read. What it holds is never shown.
    """
    if environment.get(name):
        return environment[name]
    path = environment.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{name}_FILE names {path}, which cannot be read: {reason}") from None


def _parse(variable: str, value: str, kind: str) -> object:
    try:
        if kind.startswith("int"):
            return int(value)
        if kind == "float":
            return float(value)
    except ValueError:
        raise ConfigurationError(f"{variable} must be a number, not {value!r}") from None
    return Path(value).expanduser() if kind.startswith("Path") else value


def settings() -> Settings:
    """Return the settings of this process; called by composition roots only."""
    return Settings.from_env(os.environ)
