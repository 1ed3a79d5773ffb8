"""What tests of who is next and of what ends share: tasks that need no model and no verifier."""

from __future__ import annotations

from collections import Counter
from typing import Any

from worker.messages import GENERATE_GIVEN
from worker.store.verdicts import Judged

QUEUE = GENERATE_GIVEN
LINE = {
    "kind": "math",
    "chains": [{"text": "4"}, {"text": "4"}, {"text": "5"}],
    "options": {"equivalence": "exact"},
}


def nothing(line: object, said: object, *, tenant: str) -> list[Judged]:
    """A verifier without a verdict: what counts here is whose turn it is."""
    return []


def lines(n: int, **options: object) -> list[dict[str, Any]]:
    base: dict[str, Any] = {**LINE, "options": {"equivalence": "exact", **options}}
    return [{**base, "custom_id": f"t{i}"} for i in range(n)]


def owners(rig: Any, ids: list[Any]) -> Counter[str]:
    return Counter(row.tenant for row in rig.query("SELECT tenant FROM tasks WHERE id = ANY(:ids)", ids=ids))
