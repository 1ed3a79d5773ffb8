"""Values compared leaf by leaf, each difference under its path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

ABSENT = "(absent)"


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
        inner = f"{path}.{name}" if path else name
        yield from _values(inner, stored.get(name, ABSENT), again.get(name, ABSENT), tolerance)


def _values(path: str, stored: object, again: object, tolerance: float) -> Iterator[Difference]:
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        yield from _objects(path, stored, again, tolerance)
    elif _is_list(stored) and _is_list(again) and len(stored) == len(again):
        for i, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from _values(f"{path}[{i}]", one, other, tolerance)
    elif not _same(stored, again, tolerance):
        yield Difference(field=path, stored=stored, again=again)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _same(stored: object, again: object, tolerance: float) -> bool:
    if _is_number(stored) and _is_number(again):
        return stored == again or math.isclose(stored, again, rel_tol=tolerance, abs_tol=tolerance)
    return type(stored) is type(again) and stored == again


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
