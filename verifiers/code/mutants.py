"""Slightly wrong versions of a program: tests that tell right from wrong fail most of them.

Kinds: a returned value changed, a constant off by one, a comparison turned into another, a constant result.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

MAX_MUTANTS = 12
VALUE = "value"  # the kind that every test of results notices
_CHANGED = "changed_by_a_mutation"
_HELPER = f"""
def {_CHANGED}(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float, complex)):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, (list, tuple)):
        return value + type(value)([0]) if type(value) in (list, tuple) else None
    return 0 if value is None else None
"""
_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A program with one thing wrong."""

    kind: str
    program: str


def mutants(program: str, *, limit: int = MAX_MUTANTS) -> list[Mutant]:
    """Return up to ``limit`` mutants, the same ones every time, all kinds and all parts of the program among them.

    Nothing of the program is run. A program that is not Python has none.
    """
    kinds = [[Mutant(kind, text) for text in find(program)] for kind, find in _KINDS.items()]
    found: dict[str, Mutant] = {}
    for row in zip_longest(*kinds):
        for mutant in row:
            if mutant is not None:
                found.setdefault(mutant.program, mutant)
    found.pop(_unparsed(program), None)
    return list(found.values())[:limit]


def _parsed(program: str) -> ast.Module | None:
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unparsed(program: str) -> str:
    tree = _parsed(program)
    return ast.unparse(tree) if tree else program


def _each(program: str, mutate: Callable[[ast.AST], bool], *, needs_helper: bool = False) -> Iterator[str]:
    """Yield the program with one node mutated, for every node that ``mutate`` says it has changed."""
    place = 0
    while (tree := _parsed(program)) is not None:
        nodes = list(ast.walk(tree))
        while place < len(nodes) and not mutate(nodes[place]):
            place += 1
        if place >= len(nodes):
            return
        place += 1
        if needs_helper:
            first = _first_statement(tree)
            tree.body[first:first] = ast.parse(_HELPER).body
        yield ast.unparse(ast.fix_missing_locations(tree))


def _first_statement(tree: ast.Module) -> int:
    """Return where the first statement may stand: behind the docstring and ``from __future__``."""
    for place, statement in enumerate(tree.body):
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_text and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            return place
    return len(tree.body)


def _with_another_value(program: str) -> Iterator[str]:
    def mutate(node: ast.AST) -> bool:
        match node:
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                node.value = _call(_CHANGED, value)
                return True
        return False

    return _each(program, mutate, needs_helper=True)


def _with_a_constant_result(program: str) -> Iterator[str]:
    def mutate(node: ast.AST) -> bool:
        match node:
            case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
                node.value = ast.Constant(None)
                return True
            case ast.Call(func=ast.Name(id="print"), args=[_, *_]):
                node.args = [ast.Constant(0)]
                return True
        return False

    return _each(program, mutate)


def _off_by_one(program: str) -> Iterator[str]:
    def mutate(node: ast.AST) -> bool:
        if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
            node.value = node.value + 1  # type: ignore[operator] # of these two types
            return True
        return False

    return _each(program, mutate)


def _with_another_comparison(program: str) -> Iterator[str]:
    def mutate(node: ast.AST) -> bool:
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _FLIPPED:
            if _is_main_guard(node):
                return False
            node.ops[0] = _FLIPPED[type(node.ops[0])]()
            return True
        return False

    return _each(program, mutate)


def _is_main_guard(node: ast.Compare) -> bool:
    return isinstance(node.left, ast.Name) and node.left.id == "__name__"


def _call(name: str, argument: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [argument], [])


_KINDS = {
    VALUE: _with_another_value,
    "off by one": _off_by_one,
    "comparison": _with_another_comparison,
    "constant": _with_a_constant_result,
}
