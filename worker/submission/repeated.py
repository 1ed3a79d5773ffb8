"""Field names that a JSON line gives twice: readers differ on which one holds, so we take neither."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel


def name_marks(model: type[BaseModel]) -> tuple[bytes, ...]:
    """Return the model's top-level field names as they stand in a line, in quotes."""
    return tuple(f'"{info.alias or name}"'.encode() for name, info in model.model_fields.items())


def repeated_name(content: bytes, marks: Sequence[bytes]) -> str | None:
    """Return a top-level field name that the valid JSON object ``content`` gives twice, if there is one.

    Parsing every line twice would cost more than the first parse: only a line in which a known name stands twice
    (perhaps only inside a text) is looked at again.
    """
    if all(content.count(mark) < 2 for mark in marks):
        return None
    pairs: list[tuple[str, Any]] = json.loads(
        content, object_pairs_hook=list
    )  # innermost objects become lists too
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return None
