"""What the text of the tests says about itself, before anything of it runs."""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

BUILTINS = frozenset(dir(builtins))
PROGRAM = "solution"  # the module that is the program itself
_FOREIGN = frozenset(
    (
        *("pytest", "hypothesis", "nose", "mock", "parameterized", "hamcrest", "verifiers"),
        *("numpy", "pandas", "scipy", "sympy", "torch", "sklearn"),
    )
)  # a file of that name must not stand for what the tests mean by it
_FRAMEWORKS = ("hypothesis", "nose", "nose2", "doctest", "behave", "twisted")  # not supported
_SUITES = ("pytest", "unittest")
FRAMEWORK_NAMES = {
    # Where the tests forgot an import, the program must not bring these.
    **dict.fromkeys(_SUITES, ""),
    **dict.fromkeys(("raises", "approx", "fixture"), "pytest"),
    **dict.fromkeys(("TestCase", "SkipTest", "IsolatedAsyncioTestCase"), "unittest"),
}
FIXTURES = frozenset({"capsys", "capfd", "monkeypatch", "mocker", "caplog", "tmp_path", "tmpdir"})
_RAISING = frozenset({"raises", "assertRaises", "assertRaisesRegex"})
_FAILING = frozenset({"fail"})
# What only makes sense in the program's own process, and what would have to be there for it.
_INSIDE_MODULES = {
    **dict.fromkeys(("mock", "unittest.mock", "gc", "tracemalloc", "dis"), "the program's own process"),
    "inspect": "the program's own functions, not stand-ins for them",
    **dict.fromkeys(("threading", "multiprocessing", "concurrent.futures"), "calls from several threads"),
    **dict.fromkeys(("subprocess", "tempfile", "shutil"), "files that the tests and the program share"),
}
_INSIDE_NAMES = {
    "redirect_stderr": "what the program prints",
    **dict.fromkeys(("SystemExit", "KeyboardInterrupt"), "the end of the program's process"),
    **dict.fromkeys(("catch_warnings", "assertWarns", "assertWarnsRegex"), "the program's own warnings"),
    **dict.fromkeys(("assertLogs", "assertNoLogs"), "the program's own logging"),
    "GeneratorType": "the program's own generators, not stand-ins for them",
}
_STANDARD = {
    **dict.fromkeys(
        ("isclose", "fabs", "sqrt", "floor", "ceil", "isnan", "isinf", "pi", "inf", "nan"), "math"
    ),
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    "deepcopy": "copy",
    "redirect_stdout": "contextlib",
    "Decimal": "decimal",
    "Fraction": "fractions",
}
OWN_MODULES = (
    "solution",
    "candidate",
    "main",
    "prompt",
    "program",
    "submission",
    "implementation",
    "your_module",
    "my_module",
    "your_solution",
    "my_solution",
)  # names by which tests import the program


def program_modules(files: Iterable[str], entry_point: str | None) -> dict[str, str]:
    """Return the modules that the tests can import from the program, with the names that they have over there.

    Never one of the standard library or of a known package: a hostile program would bring its own ``math``.
    """
    found = dict.fromkeys((*OWN_MODULES, *([entry_point] if entry_point else [])), PROGRAM)
    for path in files:
        parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
        if path.endswith(".py") and parts[0] != PROGRAM:
            found.update((".".join(parts[:n]), ".".join(parts[:n])) for n in range(1, len(parts) + 1))
    keep_out = sys.stdlib_module_names | _FOREIGN
    return {name: own for name, own in found.items() if name.partition(".")[0] not in keep_out}


def framework(tree: ast.Module) -> str | None:
    """Return the test framework that the tests import and that is not supported, if any."""
    found = sorted({module.partition(".")[0] for module in _imported_modules(tree)} & set(_FRAMEWORKS))
    return found[0] if found else None


def is_suite(tree: ast.Module, free: set[str]) -> bool:
    """Return whether the tests are to be collected and run: a unittest or pytest file, its imports there or not."""
    if not free.isdisjoint(FRAMEWORK_NAMES) or _takes_fixtures(tree):
        return True
    if any(module.partition(".")[0] in _SUITES for module in _imported_modules(tree)):
        return True
    return any(
        isinstance(statement, ast.ClassDef)
        and statement.name.startswith("Test")
        and any(isinstance(part, ast.FunctionDef) and part.name.startswith("test") for part in statement.body)
        for statement in tree.body
    )


def _takes_fixtures(tree: ast.Module) -> bool:
    """Return whether a test function takes a fixture of pytest's own, which nobody else would call it with."""
    return any(
        isinstance(statement, ast.FunctionDef)
        and statement.name.startswith("test")
        and not FIXTURES.isdisjoint(argument.arg for argument in statement.args.args)
        for statement in tree.body
    )


def reaches_inside(tree: ast.Module) -> str | None:
    """Return what the tests need that a judge in another process does not have, if they need such a thing."""
    for module in _imported_modules(tree):
        if module in _INSIDE_MODULES:
            return f"they import {module}, which needs {_INSIDE_MODULES[module]}"
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in _INSIDE_NAMES:
            return f"they use {name}, which needs {_INSIDE_NAMES[name]}"
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            if base in {"sys", "builtins", "os", *OWN_MODULES}:
                return f"they change {base}.{node.attr} in the program's own process"
    return None


def _imported_modules(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that the tests import, and what they import from them as if it were a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def has_assertions(tree: ast.Module) -> bool:
    """Return whether there is anything that can fail: an assert statement, or a call that is one."""
    return fails_by_hand(tree) or any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and is_assertion_call(node))
        for node in ast.walk(tree)
    )


def is_assertion_call(node: ast.expr) -> bool:
    """Return whether an expression is ``self.assertSomething(...)`` or ``pytest.raises(...)``."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr.startswith("assert") or node.func.attr in _RAISING
    return isinstance(node.func, ast.Name) and node.func.id in _RAISING


def fails_by_hand(tree: ast.Module) -> bool:
    """Return whether the tests call ``self.fail()`` or ``pytest.fail()``, as in a branch that must not be reached."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FAILING
        for node in ast.walk(tree)
    )


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
            if name not in BUILTINS and name not in _STANDARD and name not in FRAMEWORK_NAMES:
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
    modules |= {name: module for name, module in FRAMEWORK_NAMES.items() if name in free}
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
