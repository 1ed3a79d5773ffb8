"""Inputs to run programs on, so that programs can be told apart by what they do.

Two programs behave equally when the verdicts' ``evidence["behaviour"]`` have the same ``inputs`` and equal ``outputs``.
The inputs are a function of the tests alone, so all candidates of a task are run on the same ones.
"""

from __future__ import annotations

import ast
import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from verifiers.sandbox.inside.codec import CodecError, Encoder, Value
from verifiers.sandbox.inside.names import called_function, check_function

MAX_TESTS = 100_000  # characters; beyond it there are no generated inputs
_MUTATIONS_PER_INPUT = 4
_ORIGINALS_SHARE = 2 / 3  # of the limit, so that there is room for mutations
_MAX_INPUT_CHARACTERS = 20_000


def generated_inputs(
    tests: str, entry_point: str | None, *, seed: int, limit: int = 24
) -> list[tuple[object, ...]]:
    """Return argument tuples for the entry point: those that the tests call it with, and mutations of them.

    Nothing of the tests is run: only calls whose arguments are literals count. Mutations keep the types and never make
    a number much larger, so that a program's time stays about what it was.

    Args:
        tests: Plain asserts or ``check(candidate)``.
        entry_point: The function called; guessed when None.
        seed: The mutations are a function of it.
        limit: At most so many.
    """
    tree = _parsed(tests)
    names = {entry_point or (called_function(tree) if tree is not None else None)}
    check = check_function(tree) if tree is not None else None
    if check is not None:
        names.add(check.args.args[0].arg)
    if tree is None or limit < 1:
        return []
    originals = _distinct(_literal_calls(tree, names))
    kept = _spread(originals, max(1, int(limit * _ORIGINALS_SHARE)))
    source = random.Random(seed)  # noqa: S311 - repeatable is what it has to be
    mutated = (
        tuple(_mutated(source, value) if place == position else value for place, value in enumerate(args))
        for _ in range(_MUTATIONS_PER_INPUT)
        for args in kept
        if args
        for position in [_below(source, len(args))]
    )
    return _distinct(_chain(kept, mutated))[:limit]


def entry_point_of(tests: str) -> str | None:
    """Return the function that the tests' assertions call most often, if it can be told."""
    tree = _parsed(tests)
    return called_function(tree) if tree is not None else None


def digest(inputs: list[tuple[object, ...]]) -> tuple[str, list[Any]]:
    """Return the sha256 of the inputs, and the inputs as nodes for the judge."""
    nodes = [Encoder().encode(args) for args in inputs]
    text = json.dumps(nodes, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest(), nodes


def _parsed(tests: str) -> ast.Module | None:
    if len(tests) > MAX_TESTS:
        return None
    try:
        return ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _literal_calls(tree: ast.Module, names: set[str | None]) -> Iterator[tuple[object, ...]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            if node.keywords:
                continue
            try:
                yield tuple(ast.literal_eval(arg) for arg in node.args)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue


def _chain(*sources: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    for source in sources:
        yield from source


def _distinct(inputs: Iterator[tuple[object, ...]]) -> list[tuple[object, ...]]:
    seen: dict[str, tuple[object, ...]] = {}
    for args in inputs:
        try:
            text = json.dumps(Encoder().encode(args))
        except CodecError:
            continue
        if len(text) <= _MAX_INPUT_CHARACTERS:
            seen.setdefault(text, args)
    return list(seen.values())


def _spread(items: list[Any], n_wanted: int) -> list[Any]:
    """Return ``n_wanted`` of the items, evenly spread; tests tend to put the hard ones last."""
    if len(items) <= n_wanted:
        return items
    return [items[place * len(items) // n_wanted] for place in range(n_wanted)]


def _below(source: random.Random, bound: int) -> int:
    # random() is the only method whose sequence Python promises to keep between versions.
    return int(source.random() * bound)


def _one_of(source: random.Random, *choices: Value) -> Value:
    return choices[_below(source, len(choices))]


def _mutated(source: random.Random, value: Value) -> Value:  # noqa: PLR0911 - one line per type
    match value:
        case bool():
            return not value
        case int():
            return _one_of(source, value + 1, value - 1, -value, value // 2, 0, 1)
        case float():
            return _one_of(source, value + 0.5, -value, value / 2, 0.0)
        case str():
            return _mutated_text(source, value)
        case tuple():
            return tuple(_with_one_mutated(source, list(value)))
        case list():
            return _mutated_list(source, value)
        case set() | frozenset():
            items = sorted(value, key=repr)
            return type(value)(items[1:] if items else [0])
        case dict():
            keys = list(value)
            return {key: value[key] for key in keys[1:]} if keys else {"a": 1}
    return value


def _mutated_text(source: random.Random, text: str) -> str:
    if not text:
        return "a"
    place = _below(source, len(text))
    return str(
        _one_of(
            source,
            text[:place] + text[place + 1 :],
            text[:place] + text[place] + text[place:],
            text[::-1],
            text.swapcase(),
            text[:place],
            "",
        )
    )


def _mutated_list(source: random.Random, items: list[Any]) -> list[Any]:
    if not items:
        return [1]
    place = _below(source, len(items))
    kind = _below(source, 6)
    if kind >= 4:  # chosen before it is made: making both would be exponential in the nesting
        return _with_one_mutated(source, items)
    return [items[:place] + items[place + 1 :], [*items, items[place]], items[::-1], []][kind]


def _with_one_mutated(source: random.Random, items: list[Any]) -> list[Any]:
    if not items:
        return items
    place = _below(source, len(items))
    return [_mutated(source, item) if place == position else item for position, item in enumerate(items)]
