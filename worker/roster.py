"""The models that tasks may name beside the default one, from a file that submitters and generation workers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from worker.engines.offers import offer_of
from worker.engines.protocol import Capabilities
from worker.engines.registry import NEEDS, TAKE_MORE
from worker.errors import ConfigurationError
from worker.settings import Settings
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
    for name, member in roster.items():
        _check(member, where=f"{path}: models.{name}")
    return roster


def offers_of(roster: Roster, *, context_tokens: int) -> dict[str, Capabilities]:
    """Return what each member can do at the most, told without loading its model.

    Args:
        roster: The members.
        context_tokens: Of those that don't say.
    """
    return {
        name: offer_of(
            member.engine,
            logprobs=member.logprobs,
            context_tokens=member.context_tokens or context_tokens,
        )
        for name, member in roster.items()
    }


def offered(settings: Settings) -> Capabilities:
    """Return what the engine of the settings can do at the most, with the pool's models if there is one.

    Raises:
        ConfigurationError: The engine or the pool file is wrong.
    """
    return offer_of(
        settings.engine,
        logprobs=settings.logprobs,
        context_tokens=settings.context_tokens,
        members=offers_of(read_roster(settings.pool_file), context_tokens=settings.context_tokens),
    )


def _check(member: Member, *, where: str) -> None:
    """Refuse what no worker could open; else the pool would start, and tasks wait for this model for ever."""
    missing = [field for field in NEEDS.get(member.engine, ()) if not getattr(member, field)]
    if missing:
        raise ConfigurationError(
            f"{where}.{missing[0]} is missing; the engine {member.engine} needs it, so add it"
        )
    if member.engine_options and member.engine not in TAKE_MORE:
        raise ConfigurationError(
            f"{where}.engine_options: the engine {member.engine} takes no options of its own; remove "
            + ", ".join(member.engine_options)
        )
