"""One task's chains: asked for in waves, until they are enough."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from reasoner.chains import Chain
from reasoner.decisions import Thresholds
from reasoner.diversity import seeds, temperatures, turns
from reasoner.early_exit import Policy, first_stop, should_stop
from reasoner.spread import temperature_plan
from worker.claims import normaliser_of
from worker.deciding import rules_of
from worker.demands import max_tokens_of, needs_logprobs, unmet
from worker.engines.cancellation import Cancellation
from worker.engines.protocol import ChainRequest, Engine, FinishReason, Message, SampledChain
from worker.errors import EngineFaultError, RequestRefusedError
from worker.explanations import SCHEMA, listed_by, scored
from worker.instructions.reading import DEFAULT, Instructions, has_list, instructions_for
from worker.kinds import read_answer
from worker.store.chains import StoredChain
from worker.submission.lines import CodeVerification, TaskLine
from worker.weights import EQUAL, PoolWeights

WAVE = 2
"""Chains asked for together after the first wave: few, since what is under way when the rule fires is lost."""

LIST_TOKENS = 64
"""The least that a chain needs for a list of explanations; one that is cut off lists nothing."""

OWN_VARIANT = "task"
"""Prompt variant of a task that brings its own system message."""

GIVEN = "given"
"""Engine's name on chains that came with the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The chains of one task, and what early exit saved."""

    chains: list[StoredChain]
    tokens_saved: int


def entry_point_of(line: TaskLine) -> str | None:
    """Return the function that the task's tests call, where they say so."""
    for spec in line.verify:
        if isinstance(spec, CodeVerification) and spec.entry_point is not None:
            return spec.entry_point
    return None


def prompts_of(
    line: TaskLine, instructions: Instructions = DEFAULT, *, listed: bool = False
) -> list[tuple[str, tuple[Message, ...]]]:
    """Return each prompt variant with its conversation: the kind's instruction, then the task's own words.

    A task that brings a system message has one variant, its own.

    Args:
        line: The task.
        instructions: What the model may be told.
        listed: Whether it is to list several explanations.
    """
    turns = [Message(role=t.role, content=t.content) for t in line.messages or ()]
    if line.prompt is not None:
        turns = [Message(role="user", content=line.prompt)]
    if any(turn.role == "system" for turn in turns):
        return [(OWN_VARIANT, tuple(turns))]
    return [
        (one.variant, (Message(role="system", content=one.text), *turns))
        for one in instructions_for(instructions, line, listed=listed)
    ]


def lists_explanations(engine: Engine, line: TaskLine, instructions: Instructions = DEFAULT) -> bool:
    """Return whether each chain lists several explanations, as JSON that the engine holds it to.

    A task with a system message or stop words of its own shapes its chains itself, and one with few tokens a chain has
    no room for a list.
    """
    own = line.options.stop or any(turn.role == "system" for turn in line.messages or ())
    has_room = max_tokens_of(line) >= LIST_TOKENS
    return engine.capabilities.structured and has_list(instructions, line) and has_room and not own


def requests_of(
    task_id: str, line: TaskLine, instructions: Instructions = DEFAULT, *, listed: bool = False
) -> list[ChainRequest]:
    """Return one request per chain: temperatures, seeds and variants by mode and id, tokens within the budget."""
    k = line.options.k
    plan = temperatures(k) if line.mode == "merge" else temperature_plan(k)
    prompts = prompts_of(line, instructions, listed=listed)
    models = line.options.models
    variants = [prompts[i] for i in turns(k, len(prompts), each=len(models))]
    return [
        ChainRequest(
            index=i,
            messages=messages,
            model=model,
            variant=variant,
            seed=seed,
            temperature=temperature,
            max_tokens=max_tokens_of(line),
            stop=tuple(line.options.stop),
            json_schema=SCHEMA if listed else None,
        )
        for i, (seed, temperature, (variant, messages), model) in enumerate(
            zip(seeds(k, task_id), plan, variants, (models[i] for i in turns(k, len(models))), strict=True)
        )
    ]


def sample_task(
    engine: Engine,
    task_id: str,
    line: TaskLine,
    *,
    thresholds: Thresholds,
    instructions: Instructions = DEFAULT,
    weights: PoolWeights = EQUAL,
    cancellation: Cancellation | None = None,
    in_hand: MutableMapping[ChainRequest, StoredChain] | None = None,
) -> Sampled:
    """Return the task's chains in the order of their indices; stops when the exit rule says so.

    The rule is asked after every chain, in the order of their indices whatever the order they come in, so that
    where it stops does not depend on which chain is quick. What is still under way then is aborted. In SPREAD the
    engine is then asked for the score of every explanation, if it can tell.

    Args:
        engine: Samples and scores.
        task_id: Permutes the seeds.
        line: The task.
        thresholds: In force for it.
        instructions: What the model may be told.
        weights: What models' chains are worth in the decision. A fit weighs shares of a model's chains, which every
            further chain changes: where one is in force ``lossless`` asks for all chains.
        cancellation: Says that the chains are no longer wanted.
        in_hand: Chains that are there already, and need not be asked for; those that come are added, so that
            whoever tries again after an error can bring them along.

    Raises:
        RequestRefusedError: The engine cannot honour the task.
        SamplingCancelledError: The cancellation was given.
        EngineFaultError: The engine gave other chains than were asked for, or no logprobs where they are needed.
        GenerationError: The engine could not answer.
    """
    refusal = unmet(line, engine.capabilities)
    if refusal is not None:
        raise RequestRefusedError(str(refusal))
    policy, rules = Policy(line.options.early_exit), rules_of(line)
    if policy is Policy.LOSSLESS and weights.fitted is not None:
        policy = Policy.NONE
    cancellation = cancellation or Cancellation()
    in_hand = {} if in_hand is None else in_hand
    listed = lists_explanations(engine, line, instructions)
    least = first_stop(policy, rules.k) if line.mode == "merge" else rules.k

    def enough(chains: Sequence[StoredChain]) -> bool:
        return len(chains) >= least and should_stop(
            policy,
            [chain.as_chain() for chain in chains],
            thresholds=thresholds,
            rules=rules,
            normalise=normaliser_of(line),
            can_refute=bool(line.verify),
            model_weights=weights.model_weights,
        )

    requests = [
        replace(request, cancellation=cancellation)
        for request in requests_of(task_id, line, instructions, listed=listed)
    ]
    chains: list[StoredChain] = []
    wave, n_asked = least, 0
    while n_asked < rules.k:
        cancellation.check()
        asked = requests[n_asked : n_asked + wave]
        n_asked, wave = n_asked + len(asked), WAVE
        if _sample_wave(engine, task_id, line, asked, in_hand=in_hand, chains=chains, enough=enough):
            break
    cancellation.check()
    if line.mode == "spread":
        chains = scored(engine, line, chains, prompts_of(line, instructions)[0][1])
    spent = sum(chain.n_tokens or 0 for chain in chains)
    return Sampled(chains=chains, tokens_saved=round(spent / len(chains) * (rules.k - n_asked)))


def given_chains(line: TaskLine) -> list[StoredChain]:
    """Return the chains or candidates that came with the task."""
    if line.candidates is not None:
        return [_given(i, text, answer=text) for i, text in enumerate(line.candidates)]
    return [
        _given(
            one.index,
            chain.text,
            answer=one.answer,
            logprob=one.logprob,
            n_tokens=one.n_tokens,
            model=one.model,
        )
        for one, chain in zip(recorded_chains(line), line.chains or (), strict=True)
    ]


def recorded_chains(line: TaskLine) -> list[Chain]:
    """Return the chains that came with the task as the method sees them."""
    entry_point = entry_point_of(line)
    return [
        Chain(
            index=i,
            answer=read_answer(line.kind, line.mode, chain.text, entry_point, line.language)
            if chain.extracts
            else chain.answer,
            logprob=chain.logprob,
            n_tokens=chain.n_tokens,
            model=chain.model,
        )
        for i, chain in enumerate(line.chains or ())
    ]


def _given(
    index: int,
    text: str,
    *,
    answer: str | None,
    logprob: float | None = None,
    n_tokens: int | None = None,
    model: str = GIVEN,
) -> StoredChain:
    return StoredChain(
        index=index,
        text=text,
        answer=answer,
        logprob=logprob,
        n_tokens=n_tokens,
        finish_reason=FinishReason.STOP.value,
        model=model,
        revision="",
        seed=None,
        temperature=None,
        prompt_variant="",
        engine=GIVEN,
        latency_s=None,
    )


def _sample_wave(
    engine: Engine,
    task_id: str,
    line: TaskLine,
    requests: Sequence[ChainRequest],
    *,
    in_hand: MutableMapping[ChainRequest, StoredChain],
    chains: list[StoredChain],
    enough: Callable[[Sequence[StoredChain]], bool],
) -> bool:
    """Append the wave's chains in order until they are enough; return whether they are."""
    arrived = {request.index: in_hand[request] for request in requests if request in in_hand}
    waited_for = {request.index: request for request in requests if request not in in_hand}
    entry_point = entry_point_of(line)

    def are_enough() -> bool:
        while (following := len(chains)) in arrived:
            chains.append(arrived.pop(following))
            if enough(chains):
                return True
        return False

    if are_enough():
        return True
    if not waited_for:
        return False
    with closing(engine.sample(task_id, list(waited_for.values()))) as sampled:
        for chain in sampled:
            request = waited_for.pop(chain.index, None)
            if request is None:
                raise EngineFaultError(
                    f"the engine {engine.name} gave chain {chain.index}, which nobody asked for"
                )
            arrived[chain.index] = in_hand[request] = _stored(engine, line, chain, request, entry_point)
            if are_enough():
                return True
    if waited_for:
        missing = ", ".join(map(str, waited_for))
        raise EngineFaultError(
            f"the engine {engine.name} ended without the chains {missing}, and without an error"
        )
    return False


def _stored(
    engine: Engine, line: TaskLine, chain: SampledChain, request: ChainRequest, entry_point: str | None
) -> StoredChain:
    name = chain.engine or engine.name
    if chain.logprob is None and needs_logprobs(line):
        raise EngineFaultError(f"the engine {name} gave no logprobs, without which {line.mode} has no scores")
    explanations = None if request.json_schema is None else listed_by(line, chain)
    if explanations is None:
        answer = read_answer(line.kind, line.mode, chain.text, entry_point, line.language)
    else:
        answer = next((one.answer for one in explanations), None)
    return StoredChain(
        index=chain.index,
        text=chain.text,
        answer=answer,
        explanations=explanations,
        logprob=chain.logprob,
        n_tokens=chain.n_tokens,
        finish_reason=chain.finish_reason.value,
        model=chain.model,
        revision=chain.revision,
        seed=request.seed,
        temperature=request.temperature,
        prompt_variant=request.variant,
        engine=name,
        latency_s=chain.latency_s,
    )
