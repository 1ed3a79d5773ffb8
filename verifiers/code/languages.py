"""What tells the languages of programs apart outside the sandbox: their fences, their names, their normal forms."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_PROGRAM = 100_000  # characters
# What a top level of JavaScript defines, as far as that shows without a parser: enough to find a program in a text.
_JS_DEFINITION = re.compile(
    r"^(?:export\s+(?:default\s+)?)?(?:(?:async\s+)?function\s*\*?\s*|class\s+|(?:const|let|var)\s+)([A-Za-z_$][\w$]*)"
    r"|^(?:module\s*\.\s*)?exports\s*\.\s*([A-Za-z_$][\w$]*)\s*=(?!=)",
    re.MULTILINE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Language:
    """One language that programs may be written in."""

    name: str
    """As it stands in a claim."""

    title: str
    """As a person says it."""

    fences: frozenset[str]
    """What its fenced blocks are labelled with, in lower case."""

    defined: Callable[[str], set[str] | None]
    """Return the names that a program's top level defines; None for what is no program of this language."""

    normal_form: Callable[[str], str]
    """Return the program without what does not matter; two programs of one normal form are the same program."""


def _python_names(program: str) -> set[str] | None:
    tree = _parsed(program)
    if tree is None:
        return None
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return names


def _python_normal_form(program: str) -> str:
    """Return the program without comments, docstrings and formatting; as it is when it does not parse."""
    tree = _parsed(program)
    if tree is None:
        return program
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:] or [ast.Pass()]
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    except (RecursionError, ValueError):
        return program


def _parsed(program: str) -> ast.Module | None:
    if len(program) > MAX_PROGRAM:
        return None
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _javascript_names(program: str) -> set[str] | None:
    if len(program) > MAX_PROGRAM or not program.strip():
        return None
    return {name for match in _JS_DEFINITION.finditer(program) for name in match.groups() if name}


def _javascript_normal_form(program: str) -> str:
    """Return the program without trailing blanks and empty lines.

    Comments stay: without a parser nobody can tell ``//`` in a regular expression from a comment.
    """
    if "`" in program or "\\\n" in program:
        return program.strip()  # the lines of a template, or of a continued string, are its value
    return "\n".join(line.rstrip() for line in program.splitlines() if line.strip())


PYTHON = Language(
    "python",
    "Python",
    frozenset({"", "python", "py", "python3", "py3", "python2", "repl", "code"}),
    _python_names,
    _python_normal_form,
)
JAVASCRIPT = Language(
    "javascript",
    "JavaScript",
    frozenset({"", "javascript", "js", "node", "nodejs", "mjs", "cjs", "es6", "code", "jsx"}),
    _javascript_names,
    _javascript_normal_form,
)
LANGUAGES = {language.name: language for language in (PYTHON, JAVASCRIPT)}
