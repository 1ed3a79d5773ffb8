"""Times of the audit's most natural queries on a large ledger, with the plans that Postgres chose.

Each is asked again and again with other values, drawn from the record, all of them in turns. Run, after
benchmarks.ledger.generate: python -m benchmarks.audit.queries --folder /var/tmp/ledger --out build/audit
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from benchmarks.ledger.year import DOMAINS, MODELS
from benchmarks.method.results import save
from db.session import connect
from worker.embedded.services import Services
from worker.store.filters import Filters, Range
from worker.store.finding import find
from worker.store.statistics import count
from worker.store.story import find_task, load_story
from worker.store.transactions import Store

TENANT = "default"
PAGE = 50
NO_BROKER = "redis://none"

# A few thousand entries, spread over the whole time whatever their number.
SAMPLE = text("""
SELECT e.task_id, e.decided_at, t.custom_id, t.batch_id::text AS batch, d.answer, d.calibration_id::text AS calibration
FROM search_entries e TABLESAMPLE SYSTEM (:percent) JOIN tasks t ON t.id = e.task_id
JOIN decisions d ON d.id = e.decision_id
WHERE e.tenant = :tenant AND d.answer IS NOT NULL LIMIT 3000
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What questions are drawn from."""

    store: Store
    rng: random.Random
    sample: list[Any]

    def one(self) -> Any:  # noqa: ANN401 (a row)
        """Return a decision."""
        return self.rng.choice(self.sample)


Ask = Callable[[Surroundings], object]


def _find(place: Surroundings, filters: Filters) -> object:
    return find(place.store, filters, tenant=TENANT, limit=PAGE)


def _day(place: Surroundings) -> Filters:
    start = place.one().decided_at.replace(hour=0, minute=0, second=0, microsecond=0)
    return Filters(
        since=start, until=start + timedelta(days=1), kind=[place.rng.choice(("math", "code", "qa"))]
    )


def _story(place: Surroundings, *, by_name: bool) -> object:
    one = place.one()
    name = one.custom_id if by_name else str(one.task_id)
    return load_story(place.store, find_task(place.store, name, tenant=TENANT))


def _stats(place: Surroundings) -> object:
    day = _day(place)
    return count(place.store, Filters(since=day.since, until=day.until), tenant=TENANT, by="domain")


QUERIES: Mapping[str, Ask] = {
    "the newest": lambda place: _find(place, Filters()),
    "of one kind on one day": lambda place: _find(place, _day(place)),
    "abstained in a domain": lambda place: _find(
        place, Filters(domain=[place.rng.choice(DOMAINS)], state=["abstained"])
    ),
    "abstained, the verifiers disagreeing or not enough of them": lambda place: _find(
        place,
        Filters(
            domain=[place.rng.choice(DOMAINS)], why=["unconfirmed", "disagreement"], kind=["math", "code"]
        ),
    ),
    "answered wrongly with a high margin": lambda place: _find(
        place,
        Filters(
            domain=[place.rng.choice(DOMAINS)], state=["answered"], label=["wrong"], margin=Range(low=0.9)
        ),
    ),
    "refuted by a verifier": lambda place: _find(
        place, Filters(verdict=["code:refuted"], model=[place.rng.choice(MODELS)])
    ),
    "many explanations alive": lambda place: _find(
        place, Filters(degree=Range(low=3.0), model=[place.rng.choice(MODELS)])
    ),
    "abstained in a batch": lambda place: _find(
        place, Filters(batch=[place.one().batch], state=["abstained"])
    ),
    "with this answer": lambda place: _find(place, Filters(answer=[place.one().answer])),
    "decided under a calibration": lambda place: _find(
        place, Filters(calibration=[place.one().calibration], outcome=["refuted", "none"])
    ),
    "the story of a task by its id": lambda place: _story(place, by_name=False),
    "the story of a task by its custom_id": lambda place: _story(place, by_name=True),
    "statistics of one day by domain": _stats,
}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="of an embedded Postgres; else DATABASE_URL")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/audit"))
    given = parser.parse_args()
    url = None if given.folder else os.environ["DATABASE_URL"]
    with Services(given.folder or Path(), database_url=url, broker_url=NO_BROKER) as services:
        store = connect(services.database_url)
        try:
            save(given.out, "queries", measure(store, given.rounds, given.seed))
            explain(store, given.seed, given.out / "plans")
        finally:
            store.dispose()


def measure(store: Store, rounds: int, seed: int) -> dict[str, Any]:
    """Return the times of each query, in milliseconds; the first round warms up and is left out."""
    place, n = _surroundings(store, seed)
    times: dict[str, list[float]] = {name: [] for name in QUERIES}
    for turn in range(rounds + 1):
        for name, ask in QUERIES.items():
            began = time.perf_counter()
            ask(place)
            if turn:
                times[name].append((time.perf_counter() - began) * 1000)
    found = {}
    for name, of in times.items():
        found[name] = {
            "p50": round(statistics.median(of), 1),
            "p95": round(statistics.quantiles(of, n=20, method="inclusive")[-1], 1),
            "max": round(max(of), 1),
        }
        print(f"{name}: {found[name]}", flush=True)
    return {"decisions": n, "rounds": rounds, "queries": found, "load": round(os.getloadavg()[0], 1)}


def _surroundings(store: Store, seed: int) -> tuple[Surroundings, int]:
    with store.connect() as connection:
        n = connection.execute(text("SELECT count(*) FROM search_entries")).scalar_one()
        percent = min(100.0, 300_000 / max(1, n))
        sample = list(connection.execute(SAMPLE, {"percent": percent, "tenant": TENANT}).all())
    return Surroundings(store=store, rng=random.Random(seed), sample=sorted(sample)), n


def explain(store: Store, seed: int, folder: Path) -> None:
    """Write the plan of every statement of every query, as it really ran."""
    folder.mkdir(parents=True, exist_ok=True)
    place, _ = _surroundings(store, seed)
    for i, (name, ask) in enumerate(QUERIES.items(), start=1):
        with _overheard(store) as said:
            ask(place)
        parts = [name]
        with store.connect() as connection:
            cursor = connection.connection.cursor()
            for statement, values in said:
                if statement.startswith("SET"):
                    cursor.execute(statement)
                    continue
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + statement, values)
                parts.append("\n".join([statement, "", *(row[0] for row in cursor.fetchall())]))
        (folder / f"{i:02}.txt").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"plans in {folder}")


@contextmanager
def _overheard(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent."""
    said: list[tuple[str, Any]] = []

    def hear(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:  # noqa: ANN401, FBT001 (SQLAlchemy's)
        said.append((statement, values))

    event.listen(store, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(store, "before_cursor_execute", hear)


if __name__ == "__main__":
    main()
