"""Measured numbers put into a page of the docs, between its markers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any


def fill(page: Path, numbers: Path, tables: Mapping[str, Callable[[dict[str, Any]], str]]) -> None:
    """Fill the page from whatever numbers there are.

    Args:
        page: Holds ``<!-- name -->`` and ``<!-- end -->`` for each table.
        numbers: Folder of ``name.json``; a table without one stays as it is.
        tables: Makes the text of each.
    """
    text = page.read_text(encoding="utf-8")
    for name, render in tables.items():
        source = numbers / f"{name}.json"
        if source.exists():
            marker = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            told = render(json.loads(source.read_text(encoding="utf-8")))
            text = marker.sub(partial(_filled, told), text)
    page.write_text(text, encoding="utf-8")


def _filled(told: str, found: re.Match[str]) -> str:
    return f"{found[1]}\n{told}\n\n{found[2]}"
