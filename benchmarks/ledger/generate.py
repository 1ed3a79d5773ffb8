"""A large ledger: finished tasks as the product would have written them, over twelve months, by COPY.

Twenty domains of five kinds, three tenants, three models one after the other and a pool of two; every decision is one
that the method returned for just these chains and verdicts, but with other numbers in the answers. So that ten million
decisions fit in 25 GB, texts are short, a task has ``--chains`` chains on average (1, 2, 4 or 8), ``--events`` of its
four or five changes of state are kept, and of more than a million tasks only so many (``--whole``, a share) have
their chains, verdicts, clusters and events on record; the others have their task, decision, label and grading.
The same seed and ``--until`` give the same rows.

python -m benchmarks.ledger.generate --n 1000000 --folder /var/tmp/ledger
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from benchmarks.ledger.loading import copy_text, finish, is_empty, prepare
from benchmarks.ledger.rows import COLUMNS, Form, form_of, line
from benchmarks.ledger.templates import THRESHOLDS, Template, as_json, make_templates
from benchmarks.ledger.year import (
    DOMAINS,
    MODELS,
    MONTH_MS,
    N_MONTHS,
    TENANTS,
    Year,
    at,
    tenant_of,
    uuid7,
)
from db import entries
from db.migrate import migrate
from db.session import connect
from worker.embedded.services import Services
from worker.months import month_of
from worker.settings import Settings
from worker.store.partitions import make_partitions
from worker.store.transactions import Store, transaction

NO_BROKER = "redis://none"
MOST_WHOLE = 1_000_000
ONE_IN_FAILED = 200  # so many decided tasks to one that failed
SHORT = ((1, 0.35), (2, 0.5), (4, 0.15))
"""Shares of the numbers of chains among tasks that have few: 1.95 on average."""

BATCH_COLUMNS = ("id", "tenant", "idempotency_key", "source", "n_tasks", "created_at")
CALIBRATION_COLUMNS = (
    *("id", "tenant", "domain", "method", "status", "alpha", "target_risk", "run_id", "n_labels", '"lambda"'),
    *("tau_margin", "tau_conf", "tau_score", "created_at", "activated_at"),
)
RUN_COLUMNS = ("id", "tenant", "as_of", "policy", "who", "started_at", "finished_at")
EVENT_COLUMNS = ("id", "calibration_id", "from_status", "to_status", "who", "at")
ERROR = {"type": "EngineFaultError", "message": "the engine gave too few chains", "retryable": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be made."""

    n: int
    labelled: float
    """Share of decisions whose label came back and was graded."""

    chains: float
    whole: float
    """Share of decisions with all rows behind them."""

    events: int
    unfinished: int
    seed: int
    until_ms: int

    @property
    def year(self) -> Year:
        """The months before ``until_ms``."""
        return Year(n=self.n, until_ms=self.until_ms)

    @property
    def shares(self) -> dict[int, float]:
        """Of each number of chains the share of tasks that have it."""
        short = sum(k * share for k, share in SHORT)
        long = min(1.0, max(0.0, (self.chains - short) / (8 - short)))
        return {**{k: share * (1 - long) for k, share in SHORT}, 8: long}


def main() -> None:
    """Make the ledger where the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000, help="decided tasks")
    parser.add_argument(
        "--labelled", type=float, default=0.1, help="share of them with a label and a grading"
    )
    parser.add_argument("--chains", type=float, default=2.0, help="chains of a task on average, 1.95 to 8")
    parser.add_argument(
        "--whole", type=float, default=None, help="share of tasks with all rows, by default a million of them"
    )
    parser.add_argument("--events", type=int, default=2, help="changes of state kept of each task")
    parser.add_argument("--unfinished", type=int, default=0, help="queued tasks beside them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--until", type=datetime.fromisoformat, default=None, help="end of the year; now by default"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--folder", type=Path, help="of an embedded Postgres, made when missing; else DATABASE_URL is filled"
    )
    given = parser.parse_args()
    until = (given.until or datetime.now(UTC)).astimezone(UTC)
    plan = Plan(
        n=given.n,
        labelled=given.labelled,
        chains=given.chains,
        whole=min(1.0, MOST_WHOLE / given.n) if given.whole is None else given.whole,
        events=given.events,
        unfinished=given.unfinished,
        seed=given.seed,
        until_ms=int(until.timestamp() * 1000),
    )
    url = None if given.folder else os.environ["DATABASE_URL"]
    with Services(given.folder or Path(), database_url=url, broker_url=NO_BROKER) as services:
        generate(services.database_url, plan, processes=given.processes)
        if given.folder:
            print(f"in {given.folder}; a benchmark takes --folder {given.folder}, or start it with `up`")


def generate(database_url: str, plan: Plan, *, processes: int = 1) -> None:
    """Fill an empty database.

    Raises:
        SystemExit: It holds tasks.
    """
    migrate(database_url)
    store = connect(database_url)
    if not is_empty(store):
        store.dispose()
        raise SystemExit("this database holds tasks; give an empty one")
    starts_at = datetime.fromtimestamp(plan.year.start_ms / 1000, UTC)
    make_partitions(store, now=datetime.now(UTC), since=month_of(starts_at))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = make_templates(plan.seed, Settings(state_dir=Path(folder)))
    indexes = prepare(store)
    calibrations = _calibrations(store, plan)
    forms = {
        kind: {k: [form_of(one, n_events=plan.events) for one in found] for k, found in by_k.items()}
        for kind, by_k in made.items()
    }
    parts = [
        (database_url, plan, forms, calibrations, range(i, plan.year.n_batches, processes))
        for i in range(processes)
    ]
    if processes == 1:
        _fill(*parts[0])
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.starmap(_fill, parts, chunksize=1)
    if plan.unfinished:
        _queue(store, plan, made["math"][1])
    print(f"copied after {time.perf_counter() - began:.0f} s", flush=True)
    finish(store, indexes)
    print(f"indexed and vacuumed after {time.perf_counter() - began:.0f} s", flush=True)
    store.dispose()


Forms = Mapping[str, Mapping[int, Sequence[Form]]]


def _fill(
    database_url: str,
    plan: Plan,
    forms: Forms,
    calibrations: Mapping[tuple[str, str, int], str],
    batches: Iterable[int],
) -> None:
    store = connect(database_url)
    for batch in batches:
        tables = _batch(plan, forms, calibrations, batch)
        with transaction(store) as connection:
            for table, columns in [("batches", BATCH_COLUMNS), *COLUMNS.items()]:
                copy_text(connection, table, columns, tables.get(table, ()))
            decided = [UUID(row[:32]) for row in tables["decisions"]]
            connection.execute(entries.WRITE, {"ids": decided})
        if batch % 100 == 0:
            print(f"batch {batch} of {plan.year.n_batches}", flush=True)
    store.dispose()


def _batch(
    plan: Plan, forms: Forms, calibrations: Mapping[tuple[str, str, int], str], batch: int
) -> dict[str, list[str]]:
    """Return the rows of one batch, per table."""
    rng = random.Random(f"{plan.seed} {batch}")
    start = plan.year.span_of(batch)[0]
    batch_id, tenant = uuid7(start, rng), tenant_of(batch)
    tables: dict[str, list[str]] = {name: [] for name in COLUMNS}
    chosen, weights = list(plan.shares), list(plan.shares.values())
    n_failed = 0
    for kind, values in plan.year.tasks(batch, batch_id, calibrations, rng):
        of_kind = forms[kind]
        form = rng.choice(of_kind[rng.choices(chosen, weights)[0]])
        form.fill(values)
        for table, text in form.tables.items():
            tables[table].append(text % values)
        if rng.random() < plan.whole:
            for table, text in form.whole.items():
                tables[table].append(text % values)
        if rng.random() < plan.labelled:
            for table, text in rng.choice(form.labelled).items():
                tables[table].append(text % values)
        if rng.random() < 1 / ONE_IN_FAILED:
            n_failed += 1
            for table, text in _failed(values, rng, int(start)).items():
                tables[table].append(text)
    n_tasks = plan.year.size_of(batch) + n_failed
    tables["batches"] = [line((batch_id, tenant, f"ledger {batch}", "ledger.jsonl", n_tasks, at(start)))]
    return tables


def _failed(values: Mapping[str, str], rng: random.Random, start: int) -> dict[str, str]:
    """Return the rows of a task that failed beside the one of ``values``."""
    task, name = uuid7(start, rng), f"{values['custom']}-failed"
    spec = as_json({"custom_id": name, "kind": "qa", "prompt": "Question without an answer."})
    common = (task, values["batch"], values["tenant"], name, "qa", "merge", values["domain"], spec, "failed")
    created, failed = values["created"], values["decided"]
    return {
        "tasks": line((*common, values["model-0"], 3, created, 0, as_json(ERROR), created, failed)),
        "task_events": line((task, "generating", "failed", "generate@gpu", ERROR["message"], 3, failed)),
    }


def _queue(store: Store, plan: Plan, templates: Sequence[Template]) -> None:
    """Add one batch of queued tasks: what a queue has before it."""
    rng = random.Random(f"{plan.seed} queue")
    batch, template = uuid7(plan.until_ms, rng), templates[0]
    columns = (
        "id",
        "batch_id",
        "custom_id",
        "kind",
        "mode",
        "domain",
        "spec",
        "model",
        "priority",
        "created_at",
    )
    created = at(plan.until_ms)

    def tasks() -> Iterator[str]:
        for i in range(plan.unfinished):
            name, domain = f"queued-{i}", DOMAINS[i % 8]
            spec = (
                template.spec.replace("@custom@", name)
                .replace("@domain@", domain)
                .replace("@model-0@", MODELS[-1])
            )
            row = (uuid7(plan.until_ms + i // 1000, rng), batch, name, "math", "merge", domain, spec)
            yield line((*row, MODELS[-1], i % 10, created)).replace("%%", "%")

    with transaction(store) as connection:
        row = line((batch, "default", "ledger queue", "ledger.jsonl", plan.unfinished, created))
        copy_text(connection, "batches", BATCH_COLUMNS, [row])
        copy_text(connection, "tasks", columns, tasks())
        connection.exec_driver_sql(
            "INSERT INTO task_events (task_id, to_state, who, why) "
            "SELECT id, 'queued', 'submit', 'submitted' FROM tasks WHERE state = 'queued'"
        )


def _calibrations(store: Store, plan: Plan) -> dict[tuple[str, str, int], str]:
    """Write a run a month for each tenant with a calibration for each domain; return their ids.

    They all have the same thresholds, those the templates were decided with.
    """
    rng = random.Random(f"{plan.seed} calibrations")
    found: dict[tuple[str, str, int], str] = {}
    runs, rows, events = [], [], []
    for tenant in TENANTS:
        for month in range(N_MONTHS):
            start = plan.year.start_ms + month * MONTH_MS
            run, since = uuid7(start, rng), at(start)
            runs.append(line((run, tenant, since, "{}", "ledger", since, since)))
            for domain in DOMAINS:
                id_ = found[tenant, domain, month] = uuid7(start, rng)
                last = month == N_MONTHS - 1
                status = "active" if last else "retired"
                taus = (THRESHOLDS.lambda_, THRESHOLDS.tau_margin, THRESHOLDS.tau_conf, THRESHOLDS.tau_score)
                start_of = (id_, tenant, domain, "conformal", status, 0.9, 0.1, run, 1000)
                rows.append(line((*start_of, *taus, since, since)))
                events.append(line((uuid7(start, rng), id_, "candidate", "active", "ledger", since)))
                if not last:
                    until = at(start + MONTH_MS)
                    events.append(
                        line((uuid7(start + MONTH_MS, rng), id_, "active", "retired", "ledger", until))
                    )
    with transaction(store) as connection:
        copy_text(connection, "calibration_runs", RUN_COLUMNS, runs)
        copy_text(connection, "calibrations", CALIBRATION_COLUMNS, rows)
        copy_text(connection, "calibration_events", EVENT_COLUMNS, events)
    return found


if __name__ == "__main__":
    main()
