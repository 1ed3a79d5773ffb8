"""What tests of nights share: labelled tasks, decided, and a night over them."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID

from reasoner.guards import Policy
from tests.integration.bench import Outbox, send
from worker.calibrating import Night, run_night
from worker.judging.table import Judges
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.plans import Plan
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.reconcile import reconcile
from worker.store.batches import results
from worker.store.transactions import Store

PLAN = Plan(policy=Policy(alpha=0.8, target_risk=0.2, max_change=1.0))


def task(number: int, rng: random.Random, *, domain: str, label: bool = True) -> dict[str, object]:
    """Eight votes; the more agree, the more often they are right."""
    n_agree = rng.choice([5, 6, 7])
    is_right = rng.random() < n_agree * 0.14
    answers = ["yes" if is_right else "no"] * n_agree + ["no" if is_right else "yes"] * (8 - n_agree)
    made: dict[str, object] = {
        "custom_id": f"{domain}-{number}",
        "kind": "qa",
        "candidates": answers,
        "domain": domain,
    }
    return made | ({"label": "yes"} if label else {})


def decided(desk: Desk, outbox: Outbox, *lines: object) -> str:
    made = send(desk, *lines)
    while waiting := outbox.take(GENERATE_GIVEN):  # more than a window's tasks are published bit by bit
        generate_given(desk, waiting)
        decide(desk, outbox.take(DECIDE))
        reconcile(desk, outbox)
    return str(made.batch_id)


def tasks(n: int, *, domain: str = "d", seed: int = 0, label: bool = True) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [task(i, rng, domain=domain, label=label) for i in range(n)]


def night(store: Store, judges: Judges, plan: Plan = PLAN, **values: Any) -> Night:
    return run_night(store, judges, tenant="default", plan=plan, who="test", **values)


def results_of(store: Store, batch: str) -> list[dict[str, Any]]:
    return list(results(store, UUID(batch)))


def numbers(made: Night) -> str:
    return json.dumps(
        [
            [str(one.id), one.domain, one.why, one.report, one.curve, one.drift, str(one.thresholds)]
            for one in made.calibrations
        ]
    )
