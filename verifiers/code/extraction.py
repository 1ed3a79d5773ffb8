"""Finds the program in what a model wrote; reads it, never runs it."""

from __future__ import annotations

import ast
import re

MAX_TEXT = 200_000  # characters of a chain that are looked at, from its end: the answer comes last
MAX_PROGRAM = 100_000  # characters
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)
_PYTHON = {"", "python", "py", "python3", "py3", "python2", "repl", "code"}


def extract_program(text: str, entry_point: str | None) -> str | None:
    """Return the program in a model's chain, or None.

    Of several fenced blocks it is the last that parses and defines ``entry_point``; if none does, the last that parses
    and defines anything; then the last that parses. Without fences it is the text itself, if that is Python which
    defines something. An unclosed fence (a chain cut off at its token budget) reaches to the end.
    """
    text = text[-MAX_TEXT:].replace("\r\n", "\n")
    blocks = _blocks(text)
    candidates = [(block, names) for block in blocks for names in [_defined(block)] if names is not None]
    if entry_point:
        for block, names in reversed(candidates):
            if entry_point in names:
                return block
    for block, names in reversed(candidates):
        if names:
            return block
    if candidates:
        return candidates[-1][0]
    if blocks:
        return None
    return text if _defined(text) else None


def normal_form(program: str) -> str:
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


def _blocks(text: str) -> list[str]:
    """Return the contents of the fenced blocks that may be Python, in order."""
    blocks: list[str] = []
    opened: tuple[str, str, int] | None = None  # fence, language, where the contents begin
    for match in _FENCE.finditer(text):
        fence, language = match[1], match[2].lower()
        if opened is None:
            opened = (fence, language, match.end() + 1)
        elif fence.startswith(opened[0]) and not language:
            blocks += [text[opened[2] : match.start()]] * (opened[1] in _PYTHON)
            opened = None
    if opened is not None and opened[1] in _PYTHON:
        blocks.append(text[opened[2] :])
    return [_dedented(block) for block in blocks if block.strip()]


def _dedented(block: str) -> str:
    """Return a block that stands in a list item without the item's indentation."""
    lines = block.split("\n")
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    margin = min(indents, default=0)
    return "\n".join(line[margin:] for line in lines)


def _defined(program: str) -> set[str] | None:
    """Return the names that the program's top level defines, or None when it is not Python."""
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


def _parsed(program: str) -> ast.Module | None:
    if len(program) > MAX_PROGRAM:
        return None
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
