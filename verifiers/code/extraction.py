"""Finds the program in what a model wrote; reads it, never runs it."""

from __future__ import annotations

import re

from verifiers.code.languages import PYTHON, Language

MAX_TEXT = 200_000  # characters of a chain that are looked at, from its end: the answer comes last
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)


def extract_program(text: str, entry_point: str | None, language: Language = PYTHON) -> str | None:
    """Return the program in a model's chain, or None.

    Of several fenced blocks of the language it is the last that parses and defines ``entry_point``; if none does, the
    last that parses and defines anything; then the last that parses. Without fences it is the text itself, if that is a
    program which defines something. An unclosed fence (a chain cut off at its token budget) reaches to the end.
    """
    text = text[-MAX_TEXT:].replace("\r\n", "\n")
    blocks = _blocks(text, language)
    candidates = [
        (block, names) for block in blocks for names in [language.defined(block)] if names is not None
    ]
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
    return text if language.defined(text) else None


def _blocks(text: str, language: Language) -> list[str]:
    """Return the contents of the fenced blocks that may be of the language, in order."""
    blocks: list[str] = []
    opened: tuple[str, str, int] | None = None  # fence, label, where the contents begin
    for match in _FENCE.finditer(text):
        fence, label = match[1], match[2].lower()
        if opened is None:
            opened = (fence, label, match.end() + 1)
        elif fence.startswith(opened[0]) and not label:
            blocks += [text[opened[2] : match.start()]] * (opened[1] in language.fences)
            opened = None
    if opened is not None and opened[1] in language.fences:
        blocks.append(text[opened[2] :])
    return [_dedented(block) for block in blocks if block.strip()]


def _dedented(block: str) -> str:
    """Return a block that stands in a list item without the item's indentation."""
    lines = block.split("\n")
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    margin = min(indents, default=0)
    return "\n".join(line[margin:] for line in lines)
