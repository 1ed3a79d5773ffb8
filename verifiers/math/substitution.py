"""Put values in the place of names, and other parts in the place of parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

from verifiers.math.tree import Big, Call, Const, Mul, Node, Num, Sym, parts

__all__ = ["Function", "Value", "decadic", "exactly", "free_names", "rebuilt", "substituted"]


@dataclass(frozen=True, slots=True)
class Function:
    """What a name that is applied stands for: ``f(x) = 2x + 1``."""

    parameters: tuple[str, ...]
    body: Node


Value = Node | Function


Change = Callable[[Any], Any]
"""What stands in the place of a part of a tree; ``None`` when its own parts are to be looked at."""


def rebuilt(tree: Any, change: Change) -> Any:  # noqa: ANN401 - it rebuilds whatever it is given
    """Return ``tree`` with its outermost parts that ``change`` knows replaced."""
    changed = change(tree)
    return _inside(tree, change) if changed is None else changed


def _inside(tree: Any, change: Change) -> Any:  # noqa: ANN401 - as above
    if isinstance(tree, tuple):
        return tuple(rebuilt(part, change) for part in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: rebuilt(getattr(tree, f.name), change) for f in fields(tree)})
    return tree


def substituted(tree: Any, values: Mapping[str, Value]) -> Any:  # noqa: ANN401 - as above
    """Return ``tree`` with every name in ``values`` replaced; names bound by a sum or an integral stay."""

    def change(part: Any) -> Any:  # noqa: ANN401 - as above
        match part:
            case Sym(name) | Const(name) if name in values:
                value = values[name]
                return part if isinstance(value, Function) else value
            case Call(name, args) if name.endswith("()") and name.removesuffix("()") in values:
                return _applied(values[name.removesuffix("()")], substituted(args, values), part)
            case Big(_, variable) if variable in values:
                return substituted(part, {n: v for n, v in values.items() if n != variable})
            case _:
                return None

    return rebuilt(tree, change)


def _applied(value: Value, args: tuple[Node, ...], call: Call) -> Node:
    """``f(3)``; or ``h(3)`` where h is a number, which is a product."""
    if isinstance(value, Function):
        if len(args) != len(value.parameters):
            return call
        inside: Node = substituted(value.body, dict(zip(value.parameters, args, strict=True)))
        return inside
    return Mul((value, args[0])) if len(args) == 1 else call


def free_names(tree: object) -> set[str]:
    """Return the names in ``tree`` that stand for something unknown; those bound by a sum or an integral don't."""
    found: set[str] = set()
    waiting: list[tuple[object, frozenset[str]]] = [(tree, frozenset())]
    while waiting:
        part, bound = waiting.pop()
        if isinstance(part, Sym) and part.name not in bound:
            found.add(part.name)
        if isinstance(part, Call) and part.name.endswith(("()", "_")):
            found.add(part.name.removesuffix("()"))
        if isinstance(part, Big):
            bound |= {part.variable}
        waiting += [(inner, bound) for inner in parts(part)]
    return found


def exactly(tree: Any) -> Any:  # noqa: ANN401 - as above
    """Return ``tree`` with decimals taken at their word, not as roundings of something else."""
    return rebuilt(tree, lambda part: Num(part.value) if isinstance(part, Num) else None)


def decadic(tree: Any) -> Any:  # noqa: ANN401 - as above
    """Return ``tree`` with logarithms that name no base taken to the base ten, as schools write them."""

    def change(part: object) -> Call | None:
        if isinstance(part, Call) and part.name == "log" and len(part.args) == 1:
            return Call("log", (decadic(part.args[0]), Num(Fraction(10))))
        return None

    return rebuilt(tree, change)
