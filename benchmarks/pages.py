"""Measured numbers put into a page of the docs, between its markers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Render = Callable[[dict[str, Any]], str]


def fill(page: Path, tables: Mapping[str, tuple[Path, Render]]) -> None:
    """Fill the page from whatever numbers there are.

    Args:
        page: Holds ``<!-- name -->`` and ``<!-- end -->`` for each table.
        tables: Of each table its file of numbers and what makes its text; one without numbers stays as it is.

    Raises:
        ValueError: The page lacks a table's markers.
    """
    text = page.read_text(encoding="utf-8")
    filled = []
    for name, (numbers, render) in tables.items():
        found = re.search(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", text, re.DOTALL)
        if found is None:
            raise ValueError(f"{page.name} has no markers for {name!r}")
        if numbers.exists():
            told = render(json.loads(numbers.read_text(encoding="utf-8")))
            text = f"{text[: found.start()]}{found[1]}\n{told}\n\n{text[found.start(2) :]}"
            filled.append(name)
    page.write_text(text, encoding="utf-8")
    print(f"{page.name}: filled {', '.join(filled) or 'nothing'}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
