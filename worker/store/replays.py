"""Decisions on record with everything that they were made from, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, TextClause

from db import replays
from reasoner.chains import Chain
from reasoner.errors import ReasonerError
from reasoner.outcomes import Outcome
from verifiers.verdicts import Verdict
from worker.errors import WeightsError
from worker.store.calibrations import Calibration, as_calibration
from worker.store.chains import as_chain
from worker.store.transactions import snapshot, statements
from worker.store.verdicts import Judged
from worker.times import BEGINNING

PAGE = 500  # decisions of one snapshot
BARE = "bare"
"""In the evidence of a verdict that has none: it gave none, or a redaction took it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which decisions are to be replayed; what is left out does not narrow them."""

    tenant: str
    task: UUID | None = None
    batch: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Of their making; ``until`` is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRecord:
    """One decision as it is stored, and what is on record of its task."""

    row: Mapping[str, Any]
    clusters: list[dict[str, Any]]
    chains: list[tuple[Chain, datetime]]
    """Each with when it was written; later ones than the decision are among them."""

    verdicts: list[tuple[Judged, datetime]]
    calibration: Calibration | None
    """``None`` when what it names is missing, or holds what no calibration can."""

    calibration_tenant: str | None


def decision_pages(engine: Engine, selection: Selection) -> Iterator[list[UUID]]:
    """Yield the ids of the decisions that were on record at the beginning, page by page and never all at once.

    Raises:
        StoreUnavailableError: The database is away.
    """
    with statements(engine) as connection:
        now = connection.execute(replays.NOW).scalar_one()
        values = {
            "tenant": selection.tenant,
            "since": selection.since or BEGINNING,
            "until": min(selection.until or now, now),
            "n": PAGE,
        }
        if selection.task is not None:
            yield list(connection.execute(replays.OF_TASK, {**values, "task": selection.task}).scalars())
        elif selection.batch is not None:
            yield from _pages_of_batch(connection, {**values, "batch": selection.batch})
        else:
            yield from _pages_in_time(connection, values)


def _pages_of_batch(connection: Connection, values: dict[str, Any]) -> Iterator[list[UUID]]:
    after = ""
    while tasks := connection.execute(replays.BATCH_TASKS, {**values, "after": after}).all():
        after = tasks[-1].custom_id
        wanted = {**values, "tasks": [row.id for row in tasks]}
        yield list(connection.execute(replays.OF_TASKS, wanted).scalars())


def _pages_in_time(connection: Connection, values: dict[str, Any]) -> Iterator[list[UUID]]:
    after = {"after_at": values["since"], "after_id": UUID(int=0)}
    while page := connection.execute(replays.IN_TIME, {**values, **after}).all():
        after = {"after_at": page[-1].created_at, "after_id": page[-1].id}
        yield [row.id for row in page]


def load_page(engine: Engine, ids: Sequence[UUID], *, tenant: str) -> list[OnRecord]:
    """Return these decisions of the tenant with all that they rest on, as one snapshot sees them."""
    with snapshot(engine) as connection:
        rows = connection.execute(replays.PAGE, {"ids": list(ids), "tenant": tenant}).mappings().all()
        tasks = {"tasks": list({row["task_id"] for row in rows}), "tenant": tenant}
        chains = _by_task(connection, replays.CHAINS, tasks, _chains)
        verdicts = _by_task(connection, replays.VERDICTS, tasks, _judged)
        clusters: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        for cluster in connection.execute(replays.CLUSTERS, {"ids": list(ids)}).mappings():
            values = dict(cluster)
            clusters[values.pop("decision_id")].append(values)
        wanted = {"ids": list({row["calibration_id"] for row in rows})}
        calibrations = {
            row["id"]: (_readable(row), row["tenant"])
            for row in connection.execute(replays.CALIBRATIONS, wanted).mappings()
        }
    return [
        OnRecord(
            row=dict(row),
            clusters=clusters[row["id"]],
            chains=chains[row["task_id"]],
            verdicts=verdicts[row["task_id"]],
            calibration=calibrations.get(row["calibration_id"], (None, None))[0],
            calibration_tenant=calibrations.get(row["calibration_id"], (None, None))[1],
        )
        for row in rows
    ]


def _by_task(
    connection: Connection, statement: TextClause, values: dict[str, Any], read: Callable[[Any], Iterable[T]]
) -> dict[UUID, list[tuple[T, datetime]]]:
    found: dict[UUID, list[tuple[T, datetime]]] = defaultdict(list)
    for row in connection.execute(statement, values):
        found[row.task_id] += [(one, row.created_at) for one in read(row)]
    return found


def _chains(row: Any) -> Iterator[Chain]:  # noqa: ANN401 (a row)
    """Yield a chain as decisions see it: once for each explanation that it lists, as ``each_explanation`` does."""
    listed = row.explanations or [
        {"answer": row.answer, "logprob": row.logprob, "n_tokens": row.n_tokens},
    ]
    for part, one in enumerate(listed):
        yield as_chain(
            index=row.number,
            part=part,
            answer=one["answer"],
            logprob=one["logprob"],
            n_tokens=one["n_tokens"],
            model=row.model,
        )


def _judged(row: Any) -> list[Judged]:  # noqa: ANN401 (a row)
    evidence = {"pairs": row.pairs, "behaviour": row.behaviour, BARE: row.is_bare or None}
    verdict = Verdict(
        verifier=row.verifier,
        version=row.version,
        outcome=Outcome(row.outcome),
        reason="",
        elapsed_s=0.0,
        evidence={name: value for name, value in evidence.items() if value is not None},
    )
    return [Judged(candidate=row.candidate, claim={}, verdict=verdict)]


def _readable(row: RowMapping) -> Calibration | None:
    try:
        return as_calibration(dict(row))
    except (ReasonerError, WeightsError):
        return None
