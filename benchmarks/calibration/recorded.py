"""Before and after a calibration on chains that our own engine recorded: GSM8K and code.

Every row is held out once: a quarter at a time, with thresholds chosen on the other three, and the counts are added
up. Where a guard rejects the candidate, the paper's thresholds stay in force, as they do at night. Run:
python -m benchmarks.calibration.recorded --recording benchmarks/accuracy/data/chains.jsonl.gz --out build/calibration
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.recording import RECORDING, Recorded, read
from benchmarks.method.results import save
from reasoner.calibration import coverage_ceiling
from reasoner.candidate import fit_candidate
from reasoner.decisions import Decision, Thresholds
from reasoner.guards import Policy
from reasoner.labelled_decision import LabelledDecision
from reasoner.performance import Performance, perform
from worker.deciding import decide_task
from worker.grading import BY_THRESHOLDS
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.settings import Settings

FOLDS = 4
POLICY = Policy(alpha=0.3, target_risk=0.5, delta=0.1, min_labels=20, max_change=1.0)
"""What a small model can reach: its chains hold the truth of every other word problem at most, and of 75 labels no
exact bound certifies a low risk."""

PAPER = Thresholds()

Decide = Callable[[Recorded], Decision]


def merged(task: Recorded) -> Decision:
    """Return the decision of MERGE without verifiers."""
    return decide_task(task.plain, task.chains, task.relating, calibrated=PAPER)


def verified(task: Recorded) -> Decision:
    """Return the decision with the verifiers that need no truth."""
    return decide_task(task.verified, task.chains, task.shown, calibrated=PAPER)


def as_labelled(task: Recorded, decision: Decision) -> LabelledDecision:
    """Return the decision as thresholds see it."""
    rights = [task.is_right(cluster.answer) for cluster in decision.clusters]
    best = decision.best
    return LabelledDecision(
        posterior=tuple(cluster.posterior for cluster in decision.clusters),
        truth=max(
            (i for i, is_right in enumerate(rights) if is_right),
            key=lambda i: decision.clusters[i].posterior,
            default=None,
        ),
        confidence=decision.confidence,
        margin=decision.vote_margin,
        right=best is not None and rights[0],
        answerable=best is not None and set(decision.abstain_reasons) <= BY_THRESHOLDS,
    )


def added(parts: Sequence[Performance]) -> dict[str, Any]:
    """Return the counts of the parts together, with shares and intervals."""
    names = [one.name for one in fields(Performance)]
    return Performance(**{name: sum(getattr(part, name) for part in parts) for name in names}).to_json()


def held_out_by_turns(rows: Sequence[LabelledDecision]) -> dict[str, Any]:
    """Return what the paper's and the calibrated thresholds do on rows that had no say in them."""
    before, after, guards, chosen, n_passed = [], [], Counter[str](), [], 0
    for turn in range(FOLDS):
        held = [row for i, row in enumerate(rows) if i % FOLDS == turn]
        rest = [row for i, row in enumerate(rows) if i % FOLDS != turn]
        # A candidate is tried on the last part of what it is given: exactly the rows held out.
        policy = replace(POLICY, held_out=(len(held) + 0.5) / len(rows))
        found = fit_candidate([*rest, *held], policy, active=PAPER, active_was_fitted=False)
        in_force = PAPER if found.alarms else found.thresholds
        n_passed += not found.alarms
        guards.update(alarm.guard for alarm in found.alarms)
        before.append(perform(held, PAPER))
        after.append(perform(held, in_force))
        chosen.append([in_force.lambda_, in_force.tau_margin, in_force.tau_conf])
    return {
        "rows": len(rows),
        "ceiling": coverage_ceiling([row.labelled for row in rows]),
        "passed": n_passed,
        "guards": dict(guards),
        "thresholds": chosen,
        "before": added(before),
        "after": added(after),
    }


def report(tasks: Sequence[Recorded]) -> dict[str, Any]:
    """Return the numbers of each kind and way of deciding, in the order of the recording."""
    math = [task for task in tasks if task.line.kind == "math"]
    code = [task for task in tasks if task.line.kind == "code"]
    ways: dict[str, tuple[list[Recorded], Decide]] = {
        "GSM8K, MERGE": (math, merged),
        "code, MERGE": (code, merged),
        "code, MERGE with the shown tests": ([task for task in code if task.shown], verified),
    }
    return {
        name: held_out_by_turns([as_labelled(task, decide(task)) for task in of])
        for name, (of, decide) in ways.items()
        if of
    }


def main() -> None:
    """Judge the recording, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    parser.add_argument("--out", type=Path, default=Path("build/calibration"))
    parser.add_argument("--limit", type=int, help="only so many tasks")
    given = parser.parse_args()
    with Judges(Surroundings(settings=Settings.from_env(os.environ))) as judges:
        tasks = read(given.recording, judges, limit=given.limit)
    save(
        given.out,
        "recorded",
        {
            "alpha": POLICY.alpha,
            "target risk": POLICY.target_risk,
            "delta": POLICY.delta,
            "folds": FOLDS,
            "models": sorted({chain.model for task in tasks for chain in task.chains}),
            "ways": report(tasks),
        },
    )


if __name__ == "__main__":
    main()
