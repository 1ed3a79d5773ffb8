"""Read an answer as solutions: what value it gives to each unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from verifiers.math.meaning import Assigned, Meaning, Region, meaning
from verifiers.math.substitution import Function, Value
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import (
    Call,
    Choice,
    Const,
    Listing,
    Matrix,
    Node,
    Quantity,
    Relation,
    SetOf,
    SetOp,
    Sym,
    Text,
    Tuple,
)  # fmt: skip

__all__ = ["MAX_SOLUTIONS", "Solution", "solutions"]

MAX_SOLUTIONS = 100
Solution = dict[str, Value]


def solutions(tree: Node, unknowns: Sequence[str]) -> list[Solution]:
    """Return the solutions an answer gives; all of them are claimed to satisfy.

    Args:
        tree: The answer as it was parsed.
        unknowns: Their names, in the order of a bare ``(3, 4)``.

    Raises:
        CannotReadError: It gives none, or more than ``MAX_SOLUTIONS``.
    """
    found = list(_solutions(tree, unknowns))
    if not found:
        raise CannotReadError("the answer names no value: whether nothing satisfies is not checked")
    if len(found) > MAX_SOLUTIONS:
        raise CannotReadError(f"the answer has more than {MAX_SOLUTIONS} solutions")
    return found


def _solutions(tree: Node, unknowns: Sequence[str]) -> Iterator[Solution]:
    if isinstance(tree, Relation) and set(tree.ops) == {"="} and len(tree.sides) > 2:
        *names, last = tree.sides
        if all(isinstance(n, Sym) and n.name in unknowns for n in names):  # x = y = 2
            yield {n.name: last for n in names if isinstance(n, Sym)}
            return
    yield from _of_meaning(meaning(tree), unknowns)


def _of_meaning(said: Meaning, unknowns: Sequence[str]) -> Iterator[Solution]:
    match said:
        case Choice(_, content):
            yield from _solutions(content, unknowns)
        case Assigned(name, value):
            yield from _assigned(name, value, unknowns)
        case Listing(items, _) | SetOf(items):
            yield from _several(items, unknowns)
        case Tuple(_, items, _) if len(items) == len(unknowns):
            yield from _in_order(unknowns, items)
        case Matrix(rows) if len(unknowns) > 1 and 1 in (len(rows), len(rows[0])):
            yield from _in_order(unknowns, [entry for row in rows for entry in row])
        case Tuple() | Matrix():
            raise CannotReadError(
                f"the answer has another number of values than there are unknowns: {_named(unknowns)}"
            )
        case Region() | Relation() | SetOp() | Text():
            raise CannotReadError("the answer is no value and no finite set of values")
        case _:
            if len(unknowns) != 1:
                raise CannotReadError(
                    f"the answer is one value, and it isn't clear of which unknown: {_named(unknowns)}"
                )
            yield {unknowns[0]: _bare(said)}


def _named(unknowns: Sequence[str]) -> str:
    return ", ".join(unknowns[:10]) or "none is named"


def _bare(value: Node) -> Node:
    """Return a value without its unit; conditions are about numbers."""
    return value.value if isinstance(value, Quantity) else value


def _in_order(unknowns: Sequence[str], items: Sequence[Meaning]) -> Iterator[Solution]:
    if len(items) != len(unknowns):
        raise CannotReadError("the answer has another number of values than there are unknowns")
    values = [_choices(item) for item in items]
    for chosen in product(*values):
        yield dict(zip(unknowns, chosen, strict=True))


def _assigned(name: Node, value: Meaning, unknowns: Sequence[str]) -> Iterator[Solution]:
    match name:
        case Sym(unknown) | Const(unknown) if unknown in unknowns or not unknowns:
            for one in _choices(value):
                yield {unknown: one}
        case Call(function, args) if function.endswith("()") and all(isinstance(a, Sym) for a in args):
            parameters = tuple(a.name for a in args if isinstance(a, Sym))
            yield {function.removesuffix("()"): Function(parameters, _choices(value)[0])}
        case Tuple(_, names, _) if all(isinstance(n, Sym) for n in names):
            yield from _of_meaning(value, [n.name for n in names if isinstance(n, Sym)])
        case Text():  # "the number = 5"
            yield from _of_meaning(value, unknowns)
        case _:
            raise CannotReadError("the answer gives a value to something that is no unknown")


def _several(items: Sequence[Meaning], unknowns: Sequence[str]) -> Iterator[Solution]:
    if all(isinstance(item, Assigned) for item in items):
        yield from _grouped([item for item in items if isinstance(item, Assigned)], unknowns)
    elif len(unknowns) > 1 and not any(
        isinstance(item, Tuple | Assigned | Matrix | Listing) for item in items
    ):
        yield from _in_order(unknowns, items)
    else:
        for item in items:
            yield from _of_meaning(item, unknowns)


def _grouped(items: Sequence[Assigned], unknowns: Sequence[str]) -> Iterator[Solution]:
    """Join ``x = 1, y = 2, x = 3, y = 4`` to two solutions: a name that comes again begins a new one."""
    groups: list[list[list[Solution]]] = [[]]
    names: set[str] = set()
    for item in items:
        choices = list(_assigned(item.name, item.value, unknowns))
        if names.intersection(choices[0]):
            groups.append([])
            names = set()
        names.update(choices[0])
        groups[-1].append(choices)
    for group in groups:
        for chosen in product(*group):
            yield {name: value for one in chosen for name, value in one.items()}


def _choices(value: Meaning) -> list[Node]:
    """Return the values that ``x = 1, 2`` gives to x."""
    match value:
        case Listing(items, _) | SetOf(items):
            return [one for item in items for one in _choices(item)]
        case Assigned(_, inner):
            return _choices(inner)
        case Region() | Relation() | SetOp() | Text() | Matrix() | Tuple():
            raise CannotReadError("the answer is no value and no finite set of values")
        case _:
            return [_bare(value)]
