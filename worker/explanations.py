"""Explanations in SPREAD: what a chain lists, and what weighs each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from worker.claims import normaliser_of
from worker.engines.protocol import Engine, Message, SampledChain, Score, ScoreRequest
from worker.errors import RequestRefusedError
from worker.kinds import read_answer
from worker.store.chains import Explanation, StoredChain
from worker.submission.lines import TaskLine

KEY = "explanations"
MOST = 5
"""In one list."""

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            KEY: {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST},
        },
        "required": [KEY],
        "additionalProperties": False,
    }
)
"""What a chain that lists must follow. An object, since OpenAI's endpoints take nothing else at the top."""

DECODER = json.JSONDecoder()

BOM, THOUGHTS, FENCE = "\ufeff", ("<think>", "</think>"), "```"

UNSCORED = {"code"}
"""Kinds whose explanation is long, a program: it keeps the weight of the chain that wrote it."""


def listed_by(line: TaskLine, chain: SampledChain) -> tuple[Explanation, ...]:
    """Return the explanations that the chain lists as JSON, weighed as far as the chain itself tells.

    Strict: a chain that is not exactly what the schema asks for (one that was cut off, say) lists nothing; only a
    byte-order mark, one block of thoughts and one code fence may stand around it. Of one explanation in several
    wordings the first counts.
    """
    normalise = normaliser_of(line)
    tokens = list(_token_spans(chain))
    found: dict[str, Explanation] = {}
    listing, at = _unwrapped(chain.text)
    for written, begin, end in _strings(listing)[:MOST]:
        answer = read_answer(line.kind, line.mode, written, None, line.language)
        if answer is None or normalise(answer) in found:
            continue
        own = [logprob for start, stop, logprob in tokens if start < at + end and stop > at + begin]
        found[normalise(answer)] = Explanation(
            answer=answer,
            logprob=sum(own) if own else chain.logprob,
            n_tokens=len(own) if own else chain.n_tokens,
            by="list" if own else "chain",
        )
    return tuple(found.values())


def scored(
    engine: Engine, line: TaskLine, chains: Sequence[StoredChain], messages: Sequence[Message]
) -> list[StoredChain]:
    """Return the chains with M.Score of each explanation, where the engine can score; else as they are.

    The same wording has the same score, whichever chain names it, so each is asked for once.

    Args:
        engine: Whose model is asked.
        line: The task.
        chains: With what they list, or with their answers.
        messages: The conversation that asks for one explanation: what stands before the text that is scored.

    Raises:
        EngineUnavailableError: The engine died under way.
    """
    if not engine.capabilities.scores or line.kind in UNSCORED:
        return list(chains)
    named = [chain.explanations if chain.explanations is not None else _own(chain) for chain in chains]
    texts = sorted({one.answer for explanations in named for one in explanations})
    scores = _scores(engine, texts, tuple(messages))
    return [
        replace(chain, explanations=tuple(_weighed(one, scores.get(one.answer)) for one in explanations))
        for chain, explanations in zip(chains, named, strict=True)
    ]


def _own(chain: StoredChain) -> tuple[Explanation, ...]:
    if chain.answer is None:
        return ()
    return (Explanation(answer=chain.answer, logprob=chain.logprob, n_tokens=chain.n_tokens, by="chain"),)


def _weighed(one: Explanation, score: Score | None) -> Explanation:
    if score is None:
        return one
    return replace(one, logprob=score.logprob, n_tokens=score.n_tokens, by="score")


def _scores(engine: Engine, texts: Sequence[str], messages: tuple[Message, ...]) -> dict[str, Score]:
    """Return the score of each text but those that the engine cannot score."""
    requests = [ScoreRequest(messages=messages, text=text) for text in texts]
    try:
        return dict(zip(texts, engine.score(requests), strict=True))
    except RequestRefusedError:
        pass  # one of them; the others must not suffer for it
    found: dict[str, Score] = {}
    for request in requests:
        try:
            found[request.text] = engine.score([request])[0]
        except RequestRefusedError:
            continue
    return found


def _unwrapped(text: str) -> tuple[str, int]:
    """Return what is in the wrapping of an endpoint that follows schemas without a grammar, and where it begins."""
    begin, end = _after_space(text, len(BOM) if text.startswith(BOM) else 0), len(text.rstrip())
    opening, closing = THOUGHTS
    if text.startswith(opening, begin) and (closes := text.find(closing, begin)) >= 0:
        begin = _after_space(text, closes + len(closing))
    first_line = text[begin:end].split("\n", 1)[0]
    if first_line.rstrip().lower() in {FENCE, FENCE + "json"} and text.endswith(
        FENCE, begin + len(first_line), end
    ):
        begin, end = begin + len(first_line), end - len(FENCE)
    return text[begin:end], begin


def _after_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())


def _strings(text: str) -> list[tuple[str, int, int]]:
    """Return the strings of the list with where they begin and end in the text; none if it is no such object."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return []
    listed = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        return []
    spans = list(_spans(text))
    written = [string for string, _, _ in spans]
    return spans[1:] if written == [KEY, *listed] else []  # else there are other keys, or this one twice


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each string of a valid JSON text with the places between its quotes."""
    at = text.find('"')
    while at >= 0:
        value, after = DECODER.raw_decode(text, at)
        yield value, at + 1, after - 1
        at = text.find('"', after)


def _token_spans(chain: SampledChain) -> Iterator[tuple[int, int, float]]:
    """Yield begin, end and logprob of each token; nothing when they are not the text."""
    if "".join(token.text for token in chain.tokens) != chain.text:
        return
    at = 0
    for token in chain.tokens:
        yield at, at + len(token.text), token.logprob
        at += len(token.text)
