"""What a night reads: the newest gradings of a domain, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from db import windows
from db.measurements import COUNTS
from reasoner.ballot_table import BallotTable
from reasoner.labelled_table import LabelledTable
from reasoner.verifier_rates import VerifierRates
from worker.store.ballots import ballot_table
from worker.store.binary import chained, elements, in_binary
from worker.store.transactions import statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which gradings a night looks at."""

    tenant: str
    as_of: datetime
    starts_at: datetime
    max_labels: int
    """Of one domain, the newest."""

    @property
    def values(self) -> dict[str, object]:
        """The parameters of its queries."""
        return {
            "tenant": self.tenant,
            "as_of": self.as_of,
            "window_from": self.starts_at,
            "n": self.max_labels,
        }


def graded_domains(engine: Engine, window: Window) -> list[str]:
    """Return the domains that have gradings."""
    with statements(engine) as connection:
        return list(connection.execute(windows.DOMAINS, window.values).scalars())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradedTable:
    """The newest gradings of a domain, column by column in the order of decision."""

    labelled: LabelledTable
    n_right: NDArray[np.int32]
    """Chains of each task that are known to be right."""

    n_wrong: NDArray[np.int32]
    n_models: int
    """Most models of one task."""

    ballots: BallotTable | None
    """Of the tasks that have one; ``None`` where no weights could change a decision, as all were made of one model."""

    ids: bytes
    """Of each decision and its label."""

    def __len__(self) -> int:
        return len(self.labelled)


def graded_table(engine: Engine, window: Window, *, domain: str) -> GradedTable:
    """Return the newest gradings of a domain; an empty domain is all of them."""
    statement = windows.COLUMNS_OF_DOMAIN if domain else windows.COLUMNS_OF_ALL
    values = {**window.values, "domain": domain, "ballots": False}
    with statements(engine) as connection:
        (row,) = in_binary(connection, statement, values)
        if row.ballots is None and (row.n_models > 1 or row.weighted):
            # Those that were looked at are of one model, and older ones are not.
            (row,) = in_binary(connection, statement, {**values, "ballots": True})
    sizes = _oldest_first(row.n_masses, ">i4")
    masses = chained(row.masses or b"", sizes, ">f8", backwards=True)
    return GradedTable(
        labelled=LabelledTable.from_columns(
            masses=masses,
            sizes=sizes,
            truth=_oldest_first(row.truth, ">i4"),
            confidence=_oldest_first(row.confidence, ">f8"),
            margin=_oldest_first(row.vote_margin, ">f8"),
            right=_oldest_first(row.correct, "?"),
            answerable=_oldest_first(row.answerable, "?"),
        ),
        n_right=_oldest_first(row.n_right, ">i4"),
        n_wrong=_oldest_first(row.n_wrong, ">i4"),
        n_models=row.n_models,
        ballots=None if row.ballots is None else _ballots(row, masses, sizes),
        ids=np.frombuffer(row.ids or b"", dtype="V32")[::-1].tobytes(),
    )


def _ballots(row: Any, masses: NDArray[np.float64], sizes: NDArray[np.int32]) -> BallotTable:  # noqa: ANN401 (a row)
    """Return the ballots of a window; where they have no masses of their own, those of the decision are theirs."""
    lengths = _oldest_first(row.n_ballots, ">i4")
    n_own = _oldest_first(row.n_ballot_masses, ">i4")
    has_own = n_own > 0
    is_own = np.repeat(has_own, np.where(has_own, n_own, sizes))
    found = np.empty(len(is_own))
    found[is_own] = chained(row.ballot_masses, n_own, ">f8", backwards=True)
    found[~is_own] = masses[np.repeat(~has_own, sizes)]
    has_ballot = np.repeat(lengths > 0, np.where(has_own, n_own, sizes))
    models = row.models.split("\n")[::-1]
    return ballot_table(
        [models[i] for i in np.flatnonzero(lengths)],
        lengths[lengths > 0].astype(np.int64),
        chained(row.ballots, lengths, ">i2", backwards=True).astype(np.int64),
        found[has_ballot],
    )


def _oldest_first(raw: bytes | None, kind: str) -> NDArray[Any]:
    """Return the elements of an array whose newest is first."""
    return elements(raw, kind)[::-1]


def verdict_counts(
    engine: Engine, window: Window, domains: Sequence[str]
) -> list[tuple[str, str, str, VerifierRates]]:
    """Return domain, verifier, version and counts of the verdicts on the newest graded tasks of each domain."""
    values = {**window.values, "domains": list(domains)}
    with statements(engine) as connection:
        return [
            (row.domain, row.verifier, row.version, VerifierRates(**dict(zip(COUNTS, row[3:], strict=True))))
            for row in connection.execute(windows.VERDICT_COUNTS, values)
        ]


def left_out(engine: Engine, window: Window) -> dict[str, dict[str, int]]:
    """Return per domain how many labels taught nothing: ``unknown`` and ``conflicting``."""
    found: dict[str, dict[str, int]] = {}
    with statements(engine) as connection:
        for row in connection.execute(windows.LEFT_OUT, window.values):
            found.setdefault(row.domain, {})[row.grade] = row.n
    return found
