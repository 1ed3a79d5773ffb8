"""Values compared leaf by leaf, each difference under its path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

ABSENT = "(absent)"
LISTS = (list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that does not come out as it was stored."""

    field: str
    """Its path, like ``document.clusters[1].posterior``."""

    stored: Any
    again: Any

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {"field": self.field, "stored": self.stored, "recomputed": self.again}


def differences(
    stored: Mapping[str, Any], again: Mapping[str, Any], *, tolerance: float = 0.0
) -> Iterator[Difference]:
    """Yield every leaf in which two JSON objects differ, in the order of their names.

    Args:
        stored: What is on record.
        again: What was recomputed.
        tolerance: Relative and absolute difference up to which two numbers are the same.
    """
    yield from _objects("", stored, again, tolerance)


def _objects(
    path: str, stored: Mapping[str, Any], again: Mapping[str, Any], tolerance: float
) -> Iterator[Difference]:
    for name in sorted(stored.keys() | again.keys()):
        one, other = stored.get(name, ABSENT), again.get(name, ABSENT)
        if not _is_same_leaf(one, other):
            yield from _values(f"{path}.{name}" if path else name, one, other, tolerance)


def _values(path: str, stored: Any, again: Any, tolerance: float) -> Iterator[Difference]:  # noqa: ANN401 (JSON values)
    if isinstance(stored, dict) and isinstance(again, dict):
        yield from _objects(path, stored, again, tolerance)
    elif isinstance(stored, LISTS) and isinstance(again, LISTS) and len(stored) == len(again):
        for i, (one, other) in enumerate(zip(stored, again, strict=True)):
            if not _is_same_leaf(one, other):
                yield from _values(f"{path}[{i}]", one, other, tolerance)
    elif not _are_same_numbers(stored, again, tolerance) and not _is_same_leaf(stored, again):
        yield Difference(field=path, stored=stored, again=again)


def _is_same_leaf(stored: object, again: object) -> bool:
    """Return whether both are one value of one type; nearly all are, and millions are compared."""
    kind = type(stored)
    return kind is type(again) and kind is not dict and kind is not list and stored == again


def _are_same_numbers(stored: object, again: object, tolerance: float) -> bool:
    if not (_is_number(stored) and _is_number(again)):
        return False
    return stored == again or math.isclose(stored, again, rel_tol=tolerance, abs_tol=tolerance)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
