"""Thousands of tasks through real processes while everything breaks; then the record is audited.

Run: python -m benchmarks.soak.run [--tasks 3000] [--seed N] [--faults 24]; ``make soak`` does. The seed stands in the
output, and with it the same faults come in the same order (their timing is the machine's).
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from benchmarks.soak.audit import decisions, violations
from benchmarks.soak.faults import ONCE, kill_worker, schedule
from benchmarks.soak.plant import Plant
from benchmarks.soak.workload import Workload, write_workload
from worker.app import make_app
from worker.errors import StoreUnavailableError
from worker.publisher import CeleryPublisher
from worker.store.batches import get_batch
from worker.store.dead import parked_messages
from worker.store.story import load_story
from worker.store.transactions import Store
from worker.submitting import submit

LEASE_S = 3.0
MAX_DELIVERIES = 4
PATIENCE_S = 900.0
"""For the tasks that are left when the faults have ended. It only bounds a failing run."""

QUIET = "quiet-"


class SoakError(Exception):
    """Raised when the record is not what it must be."""


def soak(
    folder: Path, *, n_tasks: int, n_faults: int, n_poison: int, seed: int, budget_s: float = math.inf
) -> dict[str, object]:
    """Run one soak and return what was measured; no fault of the second round begins after ``budget_s``.

    Raises:
        SoakError: A task was lost, done twice or decided otherwise than in quiet; it tells the seed and the story.
    """
    chance = random.Random(seed)
    print(f"soak of {n_tasks} tasks, {n_faults} faults, seed {seed}", flush=True)
    load = write_workload(
        folder / "work", n_tasks=n_tasks, n_slices=max(1, n_faults), n_poison=n_poison, seed=seed
    )
    with Plant(folder, recording=load.recording, lease_s=LEASE_S, max_deliveries=MAX_DELIVERIES) as plant:
        plant.start_workers()
        store = plant.store()
        try:
            began = time.monotonic()
            quiet_run(plant, store, load)
            quiet_s = time.monotonic() - began
            began = time.monotonic()
            told = noisy_run(plant, store, load, n_faults, chance, budget_s=budget_s)
            noisy_s = time.monotonic() - began
            check(plant, store, load, seed)
            n_parked = len(parked_messages(store, n=1000))
        finally:
            store.dispose()
        starts = sum(process.n_starts for process in plant.processes.values()) - len(plant.processes)
    return {
        "tasks": n_tasks,
        "seed": seed,
        "faults": dict(Counter(told)),
        "worker_restarts": starts,
        "parked_messages": n_parked,
        "quiet_s": round(quiet_s, 1),
        "noisy_s": round(noisy_s, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def quiet_run(plant: Plant, store: Store, load: Workload) -> None:
    """Decide the same tasks with nothing going wrong, but for the poison, which needs no undisturbed opposite."""
    harmless = plant.folder / "work" / "harmless.jsonl"
    with harmless.open("w", encoding="utf-8") as stream:
        for _, file in load.slices:
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            stream.writelines(line for line in lines if '"poison ' not in line)
    wait_for(plant, store, {submit_file(plant, QUIET + "red", harmless): QUIET + "red"})
    print(f"  quiet run done, load {os.getloadavg()[0]:.1f}", flush=True)


def noisy_run(
    plant: Plant, store: Store, load: Workload, n_faults: int, chance: random.Random, *, budget_s: float
) -> list[str]:
    """Submit slice after slice, with a fault and a killed worker in between; wait for the rest; return the faults."""
    batches: dict[UUID, str] = {}
    began = time.monotonic()
    told: list[str] = []
    plan = zip(schedule(n_faults, chance), load.slices, strict=True)
    for n, (fault, (tenant, file)) in enumerate(plan):
        batches[submit_persistently(plant, tenant, file, chance)] = tenant
        if n >= len(ONCE) and time.monotonic() - began > budget_s:
            continue
        what = fault(plant, chance)
        told.append(fault.__name__)
        print(f"  {time.monotonic() - began:5.1f} s: {what}", flush=True)
        plant.rest(chance.uniform(0.5, 2.0))
        if chance.random() < 0.5:
            kill_worker(plant, chance)
            told.append(kill_worker.__name__)
    print(f"  {time.monotonic() - began:5.1f} s: no more faults", flush=True)
    wait_for(plant, store, batches)
    return told


def submit_persistently(plant: Plant, tenant: str, file: Path, chance: random.Random) -> UUID:
    """Submit ``file``, now and then after a submitter that was killed half-way; the content is the key of both."""
    if chance.random() < 0.25:
        process = plant.submit(tenant, file)
        plant.rest(chance.uniform(0.5, 3.0), while_=lambda: process.poll() is None)
        process.kill()
        process.communicate()
    return submit_file(plant, tenant, file)


def submit_file(plant: Plant, tenant: str, file: Path) -> UUID:
    """Submit ``file`` in this process, again and again while the database is away."""
    settings = replace(plant.settings, tenant=tenant)
    publisher = CeleryPublisher(make_app(settings.broker_url or ""), message_tasks=settings.message_tasks)
    while True:
        store = plant.store()
        try:
            content = io.BytesIO(file.read_bytes())
            made = submit(store, publisher, content, file=file.name, error_file=file, settings=settings)
        except StoreUnavailableError:
            plant.rest(1.0)
        else:
            return made.batch_id
        finally:
            store.dispose()


def wait_for(plant: Plant, store: Store, batches: dict[UUID, str]) -> None:
    """Wait until every batch is finished, looking after the plant."""
    deadline = time.monotonic() + PATIENCE_S
    left = dict(batches)

    def is_done() -> bool:
        try:
            for batch_id, tenant in list(left.items()):
                batch = get_batch(store, batch_id, tenant=tenant)
                if batch is not None and batch.is_finished:
                    del left[batch_id]
        except StoreUnavailableError:
            return False
        return not left

    while not is_done() and time.monotonic() < deadline:
        plant.rest(1.0)


def check(plant: Plant, store: Store, load: Workload, seed: int) -> None:
    """Audit the record.

    Raises:
        SoakError: Something is wrong.
    """
    found = violations(store)
    calm, rough = decisions(store, QUIET + "%"), noisy_decisions(store)
    n_harmless = load.n_tasks - load.n_poison
    if len(calm) != n_harmless or len(rough) != n_harmless:
        found[f"{len(calm)} quiet and {len(rough)} noisy decisions, of {n_harmless}"] = []
    if different := [name for name, one in rough.items() if calm.get(name) != one]:
        found[f"decided otherwise than in quiet: {different[:5]}"] = []
    if found:
        stories = [story(store, ids[0]) for ids in found.values() if ids][:3]
        numbers = "\n".join(f"- {len(ids)} {name}: {ids[:3]}" for name, ids in found.items())
        raise SoakError(f"seed {seed}\n{numbers}\n" + "\n".join(stories) + f"\nill: {plant.ill()}")


def noisy_decisions(store: Store) -> dict[str, tuple[str, dict[str, object]]]:
    """Return the decisions of the tenants that were disturbed."""
    return {
        name: one for tenant in ("red", "green", "blue") for name, one in decisions(store, tenant).items()
    }


def story(store: Store, task_id: str) -> str:
    """Return what is on record about one task."""
    one = load_story(store, UUID(task_id))
    events = "\n".join(
        f"    {e['at']:%H:%M:%S.%f} {e['from_state']} -> {e['to_state']} by {e['who']} ({e['why']}) #{e['attempt']}"
        for e in one.events
    )
    facts = {
        k: str(one.task[k])
        for k in (
            "custom_id",
            "state",
            "attempt",
            "deliveries",
            "holder",
            "lease_until",
            "published_at",
            "not_before",
            "error",
        )
    }
    return f"  task {task_id}: {facts}\n{events}\n    {len(one.chains)} chains, {len(one.verdicts)} verdicts"


def main() -> None:
    """Run a soak and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--faults", type=int, default=24)
    parser.add_argument("--poison", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory() as folder:
        found = soak(
            Path(folder), n_tasks=options.tasks, n_faults=options.faults, n_poison=options.poison, seed=seed
        )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
