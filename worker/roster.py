"""The models that tasks may name beside the default one, from a file that submitters and generation workers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from worker.errors import ConfigurationError
from worker.submission.lines import DEFAULT_MODEL, Line
from worker.submission.problems import explain


class Member(Line):
    """One model of the pool and the engine that serves it."""

    engine: Literal["llamacpp", "transformers", "vllm", "openai", "replay"]
    model: Annotated[str, Field(min_length=1)]
    base_url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's key; keys themselves do not belong into the file."""

    replay_file: str | None = None
    logprobs: Literal["auto", "never"] = "auto"
    parallel_chains: Annotated[int, Field(gt=0)] | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    engine_options: dict[str, Any] = Field(default_factory=dict)


class RosterFile(Line):
    """The file's content."""

    models: Annotated[dict[str, Member], Field(min_length=1, max_length=16)]


Roster = dict[str, Member]


def read_roster(path: Path | None) -> Roster:
    """Return the members by the names that tasks use; none without a file.

    Raises:
        ConfigurationError: The file cannot be read, or says what cannot be meant.
    """
    if path is None:
        return {}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"MERGEREASONER_POOL_FILE: cannot read {path}: {error.strerror}") from error
    try:
        roster = RosterFile.model_validate_json(content).models
    except ValidationError as error:
        field, _, problem, fix = explain(error, RosterFile)
        raise ConfigurationError(f"{path}: {field} {problem}; {fix}") from error
    if DEFAULT_MODEL in roster:
        raise ConfigurationError(
            f'{path}: "{DEFAULT_MODEL}" is the model of the settings; name this one otherwise'
        )
    return roster
