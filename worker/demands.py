"""What a task asks of an engine, and what of that an engine cannot give: refused, never answered approximately."""

from __future__ import annotations

from dataclasses import dataclass

from worker.engines.protocol import Capabilities
from worker.submission.lines import DEFAULT_MODEL, TaskLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """One demand that cannot be met."""

    field: str
    """Dotted path in the task line."""

    code: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field} {self.problem}; {self.fix}"


def max_tokens_of(line: TaskLine) -> int:
    """Return how many tokens one chain may have; 0 when the budget has not one for each."""
    options = line.options
    if "max_tokens" in options.model_fields_set:
        return options.max_tokens
    return min(options.max_tokens, options.token_budget // options.k)


def needs_logprobs(line: TaskLine) -> bool:
    """Return whether the task's decision rests on M.Score, which is made of logprobs."""
    return line.mode == "spread" or line.options.set_rule == "score"


def unmet(line: TaskLine, capabilities: Capabilities) -> Unmet | None:
    """Return the first demand of the task that an engine cannot meet, or ``None``.

    Of several models that the task names each must be able: while one is away the others sample its chains. How long
    the prompt is in tokens only the engine knows; it refuses those that are too long itself.
    """
    if line.is_given:
        return None
    options, max_tokens = line.options, max_tokens_of(line)
    unknown = [name for name in options.models if name not in capabilities.models]
    if unknown:
        return Unmet(
            field="options.models",
            code="unknown_model",
            problem=f'names "{unknown[0]}", which is no model of the pool',
            fix=f"use {', '.join(sorted(capabilities.models))}, or add it to MERGEREASONER_POOL_FILE",
        )
    if max_tokens < 1 or options.k * max_tokens > options.token_budget:
        asked = f"{options.k} chains of {max(1, max_tokens)} tokens"
        return Unmet(
            field="options.token_budget",
            code="over_budget",
            problem=f"is {options.token_budget}, too little for {asked}",
            fix="lower k or max_tokens, or raise token_budget",
        )
    found = (_unmet_by(line, capabilities.of(name), name=name) for name in options.models)
    return next((one for one in found if one is not None), None)


def _unmet_by(line: TaskLine, capabilities: Capabilities, *, name: str) -> Unmet | None:
    limit, max_tokens = capabilities.max_context_tokens, max_tokens_of(line)
    of_whom, who = ("", "the engine") if name == DEFAULT_MODEL else (f' of "{name}"', f'the model "{name}"')
    if max_tokens >= limit:
        return Unmet(
            field="options.max_tokens",
            code="over_context",
            problem=f"is {max_tokens}, but the context{of_whom} holds {limit} tokens with the prompt",
            fix="lower it",
        )
    if needs_logprobs(line) and not capabilities.logprobs:
        by_mode = line.mode == "spread"
        return Unmet(
            field="mode" if by_mode else "options.set_rule",
            code="no_logprobs",
            problem=f"{'spread' if by_mode else 'score'} ranks by logprobs, which {who} does not give",
            fix="use an engine that gives logprobs" + (", or mode merge" if by_mode else ", or another rule"),
        )
    if not capabilities.seeds:
        return Unmet(
            field="-",
            code="no_seeds",
            problem=f"asks for seeded chains, which {who} does not give",
            fix="use another engine",
        )
    return None
