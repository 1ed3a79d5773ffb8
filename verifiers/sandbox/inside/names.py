"""What the text of the tests says about itself, before anything of it runs."""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

BUILTINS = frozenset(dir(builtins))
_FRAMEWORKS = ("pytest", "unittest", "hypothesis", "nose", "doctest")
_STANDARD = {
    **dict.fromkeys(
        ("isclose", "fabs", "sqrt", "floor", "ceil", "isnan", "isinf", "pi", "inf", "nan"), "math"
    ),
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    "deepcopy": "copy",
    "Decimal": "decimal",
    "Fraction": "fractions",
}
OWN_MODULES = (
    "solution",
    "candidate",
    "main",
    "prompt",
    "program",
)  # names by which tests import the program


def framework(tree: ast.Module) -> str | None:
    """Return the test framework that the tests import, if any."""
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.partition(".")[0] in _FRAMEWORKS:
                return module.partition(".")[0]
    return None


def has_assertions(tree: ast.Module) -> bool:
    """Return whether there is an assert statement anywhere."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def free_names(tests: str) -> set[str]:
    """Return the names that the tests use as globals and don't bind themselves, builtins included."""
    top = symtable.symtable(tests, "tests", "exec")
    bound = {
        symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    for table in _below(top):
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
            elif symbol.is_global():
                used.add(symbol.get_name())
    return used - bound


def _below(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _below(child)


def called_function(tree: ast.Module) -> str | None:
    """Return the name that assertions call most often and that the tests don't define; a builtin only if need be."""
    if check_function(tree) is not None:
        return None
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {alias.asname or alias.name for node in ast.walk(tree) for alias in _imported(node)}
    asserted = [node.test for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    in_asserts = _calls(asserted, defined)
    for names in (in_asserts, _calls([tree], defined)):
        for name in names:
            if name not in BUILTINS and name not in _STANDARD:
                return name
    return in_asserts[0] if len(in_asserts) == 1 else None  # else nobody can tell which of them is meant


def _calls(trees: Sequence[ast.AST], defined: set[str]) -> list[str]:
    """Return the names called, most often called first."""
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    called = Counter(c.func.id for c in calls if isinstance(c.func, ast.Name) and c.func.id not in defined)
    return [name for name, _ in called.most_common()]


def _imported(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def judges_own(tree: ast.Module, free: set[str]) -> dict[str, str]:
    """Return the free names that the judge takes from the standard library itself, with their modules.

    Tests that say ``math.isclose(f(1), 2.5)`` and rely on the program's ``import math`` get the true one: a hostile
    program would bring a ``math`` that finds everything close.
    """
    bases = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    modules = dict.fromkeys((free & bases & sys.stdlib_module_names) - called, "")
    return modules | {name: module for name, module in _STANDARD.items() if name in free}


def check_function(tree: ast.Module) -> ast.FunctionDef | None:
    """Return HumanEval's ``def check(candidate)``, unless the tests call it themselves."""
    found = None
    for statement in tree.body:
        if (
            isinstance(statement, ast.FunctionDef)
            and statement.name == "check"
            and len(statement.args.args) == 1
        ):
            found = statement
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            function = statement.value.func
            if isinstance(function, ast.Name) and function.id == "check":
                return None
    return found


def test_functions(tree: ast.Module) -> list[str]:
    """Return the names of ``def test_...()`` without parameters, in order."""
    return [
        statement.name
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef)
        and statement.name.startswith("test")
        and not (statement.args.args or statement.args.posonlyargs or statement.args.vararg)
        and not statement.decorator_list
    ]
