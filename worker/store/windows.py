"""What a night reads: the newest gradings of a domain, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from db import nights, windows
from db.measurements import COUNTS
from reasoner.ballot_table import BallotTable
from reasoner.labelled_table import Flags, LabelledTable
from reasoner.verifier_rates import VerifierRates
from worker.store.ballots import ballot_table
from worker.store.binary import chained, in_binary
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

    told: Flags
    """Whether it is known of each if its answer is right; one of which it isn't counts as wrong."""

    has_ballot: Flags
    ids: bytes
    """Of each decision and its label."""

    def __len__(self) -> int:
        return len(self.labelled)


NUMBERS = np.dtype([(name, kind) for name, kind, _ in nights.NUMBERS])


def graded_table(engine: Engine, window: Window, *, domain: str, with_untold: bool = False) -> GradedTable:
    """Return the newest gradings of a domain; an empty domain is all of them.

    Args:
        engine: The database.
        window: What is looked at.
        domain: Whose.
        with_untold: Also those of which it can't be told whether they are right.
    """
    statement = windows.WINDOWS[bool(domain), with_untold]
    values = {**window.values, "domain": domain, "ballots": False}
    with statements(engine) as connection:
        (row,) = in_binary(connection, statement, values)
        numbers = _oldest_first(row.numbers)
        n_models = int(numbers["n_models"].max(initial=0))
        if row.ballots is None and (n_models > 1 or numbers["weighted"].any()):
            # Those that were looked at are of one model, and older ones are not.
            (row,) = in_binary(connection, statement, {**values, "ballots": True})
            numbers = _oldest_first(row.numbers)
            n_models = int(numbers["n_models"].max(initial=0))
    masses = chained(row.masses or b"", numbers["n_masses"], ">f8", backwards=True)
    return GradedTable(
        labelled=LabelledTable.from_columns(
            masses=masses,
            sizes=_own(numbers["n_masses"]),
            truth=numbers["truth"].astype(np.int32),
            confidence=_own(numbers["confidence"]),
            margin=_own(numbers["vote_margin"]),
            right=numbers["correct"].copy(),
            answerable=numbers["answerable"].copy(),
        ),
        n_right=_own(numbers["n_right"]),
        n_wrong=_own(numbers["n_wrong"]),
        n_models=n_models,
        told=np.ones(len(numbers), np.bool_) if row.told is None else np.frombuffer(row.told, np.bool_)[::-1],
        has_ballot=numbers["n_ballot"] > 0,
        ballots=None if row.ballots is None else _ballots(row, numbers, masses),
        ids=numbers["ids"].tobytes(),
    )


def _oldest_first(raw: bytes | None) -> NDArray[Any]:
    """Return the numbers of each grading of a window whose newest is first."""
    return np.frombuffer(raw or b"", dtype=NUMBERS)[::-1]


def _own(column: NDArray[Any]) -> NDArray[Any]:
    """Return the column in the machine's order of bytes, in one piece."""
    return column.astype(column.dtype.newbyteorder("="))


def _ballots(row: Any, numbers: NDArray[Any], masses: NDArray[np.float64]) -> BallotTable:  # noqa: ANN401 (a row)
    """Return the ballots of a window; where they have no masses of their own, those of the decision are theirs."""
    sizes, lengths, n_own = (_own(numbers[name]) for name in ("n_masses", "n_ballot", "n_ballot_masses"))
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
    """Return per domain how many labels don't tell right from wrong: ``unknown``, ``conflicting`` and ``spread``."""
    found: dict[str, dict[str, int]] = {}
    with statements(engine) as connection:
        for row in connection.execute(windows.LEFT_OUT, window.values):
            found.setdefault(row.domain, {})[row.grade] = row.n
    return found
