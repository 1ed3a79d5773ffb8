"""What became of tasks over time: shares, reasons, agreement with labels, costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine

from db import statistics
from worker.errors import QueryError
from worker.store.filters import Filters
from worker.store.finding import EPOCH, LATEST, shape_of
from worker.store.transactions import statements

Key = tuple[date | None, str | None]


@dataclass(slots=True, kw_only=True)
class Count:
    """The tasks of one period and one value."""

    period: date | None
    """Its first day, in UTC; none is all of it."""

    value: str | None
    n: int = 0
    """Decisions; a task of several models counts with each of them where they are told apart."""

    n_answered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """How often each reason to abstain fired; several may fire at once."""

    n_right: int = 0
    """Answered, and the label agrees."""

    n_wrong: int = 0
    set_sizes: int = 0
    merge_degrees: float = 0.0
    tokens_spent: int = 0
    tokens_saved: int = 0
    n_failed: int = 0
    """Tasks that got no decision."""

    @property
    def answered(self) -> float | None:
        """Share of the decisions that were answers."""
        return self.n_answered / self.n if self.n else None

    @property
    def agreement(self) -> float | None:
        """Share of right ones among the answers that could be compared with a label: 1 - selective risk."""
        n_told = self.n_right + self.n_wrong
        return self.n_right / n_told if n_told else None

    @property
    def mean_set_size(self) -> float | None:
        """Mean size of the sets of answers."""
        return self.set_sizes / self.n if self.n else None

    @property
    def mean_merge_degree(self) -> float | None:
        """Mean effective number of explanations."""
        return self.merge_degrees / self.n if self.n else None

    def add(self, row: Any) -> None:  # noqa: ANN401 (a row)
        """Add the decisions of one row."""
        self.n += row.n
        self.set_sizes += row.set_sizes
        self.merge_degrees += row.merge_degrees
        self.tokens_spent += row.tokens_spent
        self.tokens_saved += row.tokens_saved
        if row.reasons:
            self.reasons.update(dict.fromkeys(row.reasons.split(","), row.n))
            return
        self.n_answered += row.n
        self.n_right += row.n if row.label == "right" else 0
        self.n_wrong += row.n if row.label == "wrong" else 0


def count(
    engine: Engine, filters: Filters, *, tenant: str, every: str | None = None, by: str | None = None
) -> list[Count]:
    """Return the counts of the tenant's tasks that have a decision or failed, in the order of time and value.

    Raises:
        QueryError: It cannot be grouped so, or failed tasks have nothing that a filter asks for.
    """
    if every not in (None, *statistics.EVERY) or by not in (None, *statistics.BY):
        raise QueryError(
            f"counts are of every {', '.join(statistics.EVERY)} and by {', '.join(statistics.BY)}"
        )
    shape, asked = shape_of(filters)
    times = {"since": filters.since or EPOCH, "before": filters.until or LATEST}
    values: dict[str, Any] = {"tenant": tenant, **times, **asked}
    of_tasks = {
        "kinds": list(filters.kind),
        "domains": list(filters.domain),
        "models": list(filters.model),
        "batches": list(filters.batch),
    }
    counts: dict[Key, Count] = {}

    def of(row: Any) -> Count:  # noqa: ANN401 (a row)
        return counts.setdefault((row.period, row.value), Count(period=row.period, value=row.value))

    with statements(engine) as connection:
        decided = statistics.decided(shape, every=every, by=by)
        for row in connection.execute(decided, values):
            of(row).add(row)
        for row in connection.execute(statistics.failed(every=every, by=by), values | of_tasks):
            of(row).n_failed += row.n
    return [counts[key] for key in sorted(counts, key=lambda key: (key[0] or date.min, key[1] or ""))]
