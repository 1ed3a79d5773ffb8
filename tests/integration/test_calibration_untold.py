"""What can't be told right or wrong counts as wrong: nights in which labels and answers can't be compared."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from reasoner.guards import Policy
from tests.integration.bench import Outbox, query
from tests.integration.nights import PLAN, decided, night, numbers, tasks
from verifiers.math.verifier import MathVerifier
from worker.calibrating import as_recorded, reproduce
from worker.judging.math import MathJudge
from worker.judging.table import Judges
from worker.labels import take_in_labels
from worker.messages import DECIDE, VERIFY
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.nights import get_run, list_calibrations
from worker.store.transactions import Store

pytestmark = pytest.mark.services

LEFT_OUT = replace(PLAN, policy=replace(PLAN.policy, rules=1))


def sums(n: int, *, accuracy: float = 0.6, domain: str = "sums") -> list[dict[str, object]]:
    """Tasks whose wrong answers are words, but for a few, which can't be compared with the number that is right."""
    rng, found = random.Random(1), []
    for i in range(n):
        wrong = "9" if i % 20 == 0 else "I do not know"
        answer = "7" if rng.random() < accuracy else wrong
        line: dict[str, object] = {"custom_id": f"{domain}-{i}", "kind": "math", "domain": domain}
        found.append(line | {"candidates": [answer] * 8, "label": "7"})
    return found


def give(desk: Desk, tmp_path: Path, *lines: object) -> None:
    text = "\n".join(json.dumps(line) for line in lines)
    take_in_labels(
        desk.store, io.BytesIO(text.encode()), file="l", error_file=tmp_path / "e", settings=desk.settings
    )


def statuses(store: Store) -> dict[str, str]:
    rows = list_calibrations(store, tenant="default", domain=None, active=False, n=100)
    return {row["domain"]: row["status"] for row in reversed(rows) if row["run_id"] is not None}


def test_thresholds_are_not_certified_by_leaving_out_what_cannot_be_told(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges, tmp_path: Path
) -> None:
    batch = decided(desk, outbox, *sums(160))
    n_untold = query(store, "SELECT count(*) FROM decisions WHERE answer = 'I do not know'")[0][0]
    assert n_untold > 50
    before = night(store, judges, LEFT_OUT)
    assert statuses(store) == {"": "active", "sums": "active"}  # the mistake that is made no more
    made = night(store, judges)
    assert made.counts["untold"] == {"sums": {"unknown": n_untold}}
    assert [one.domain for one in made.calibrations] == ["", "sums"]
    for one in made.calibrations:
        assert one.why.startswith(f"unknown: of {n_untold} of 160 labelled decisions it can't be told")
        assert (one.report["untold"], one.n_labels) == ({"unknown": n_untold}, 160 - n_untold)
    for plan, past in ((PLAN, before), (LEFT_OUT, made)):  # each under the rules of its own time
        again = reproduce(store, judges, tenant="default", plan=plan, as_of=past.as_of)
        assert again.plan == past.plan
        assert numbers(again) == numbers(past)
        assert all(as_recorded(store, one, tenant="default") for one in again.calibrations)
    wrong = query(
        store,
        "SELECT custom_id FROM tasks t JOIN decisions d ON d.task_id = t.id WHERE d.answer = 'I do not know'",
    )
    give(desk, tmp_path, *({"batch_id": batch, "custom_id": row[0], "correct": False} for row in wrong))
    resolved = night(store, judges)
    assert resolved.counts["untold"] == {}
    assert {one.n_labels for one in resolved.calibrations} == {160}
    assert all("unknown" not in one.why and "risk" in one.why for one in resolved.calibrations)


def test_a_night_on_record_names_no_rules_where_it_had_the_first(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(20))
    first, second = night(store, judges, LEFT_OUT), night(store, judges)
    for made, rules in ((first, None), (second, 2)):
        assert made.run_id is not None
        run = get_run(store, made.run_id, tenant="default")
        assert run is not None
        assert run["policy"].get("rules") == rules  # ids of calibrations are made of it
    reports = [one.report for made in (first, second) for one in made.calibrations]
    assert ["left_out" in report for report in reports] == [True, True, False, False]


def test_a_few_answers_that_cannot_be_told_cost_answers_and_no_more(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(200), *sums(8, accuracy=0.0))
    made = night(store, judges)
    assert {one.domain: bool(one.why) for one in made.calibrations} == {"": False, "d": False, "sums": True}
    everybody = made.calibrations[0]
    assert everybody.report["untold"] == {"unknown": 7}
    assert everybody.report["n_fit"] + everybody.report["n_held_out"] == 208
    assert everybody.n_labels == 201


def test_labels_that_conflict_count_as_wrong_whichever_is_right(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges, tmp_path: Path
) -> None:
    batch = decided(desk, outbox, *tasks(100), *tasks(100, domain="e", seed=5, label=False))
    name = {"batch_id": batch, "at": "2026-05-03T10:00:00Z"}
    told = [{**name, "custom_id": f"e-{i}", "answer": "yes", "source": "one"} for i in range(100)]
    give(desk, tmp_path, *told, *({**one, "answer": "no", "source": "other"} for one in told[:60]))
    plan = replace(PLAN, policy=replace(PLAN.policy, min_labels=20))
    before = night(store, judges, replace(plan, policy=replace(plan.policy, rules=1)))
    assert {one.n_labels for one in before.calibrations} == {140, 100, 40}
    # A grading of the older form holds nothing of a decision whose labels conflict, and is made again; no other is.
    query(store, "UPDATE gradings SET form = 3 RETURNING 1")
    query(
        store,
        "UPDATE gradings SET confidence = 0, vote_margin = 0, answerable = false, masses = '{}', ballot = '{}', "
        "models = '[]' WHERE grade = 'conflicting' RETURNING 1",
    )
    query(store, "UPDATE calibration_runs SET form = 3 RETURNING 1")
    made = night(store, judges, plan)
    assert made.counts["graded"] == 60
    of_e = next(one for one in made.calibrations if one.domain == "e")
    assert (of_e.n_labels, of_e.report["untold"]) == (40, {"conflicting": 60})
    assert "unknown: of 60 of 100" in of_e.why
    assert of_e.report["after"]["n_answered"] > of_e.report["after"]["n_tasks"] * 0.4
    decisive = {row[0] for row in query(store, "SELECT min(confidence) FROM gradings GROUP BY grade")}
    assert min(decisive) >= 0.5
    again = reproduce(store, judges, tenant="default", plan=plan, as_of=before.as_of)
    assert numbers(again) == numbers(before)


def test_weights_of_a_pool_are_fitted_on_what_is_told_and_thresholds_on_all(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng, lines = random.Random(3), []
    for i in range(300):
        first = "7" if rng.random() < 0.9 else "I do not know"
        second = rng.choices(["7", "9", "I do not know"], [5, 4, 1])[0]
        chains = [
            {"text": a, "answer": a, "model": m} for m, a in (("a", first), ("b", second), ("c", second))
        ]
        line: dict[str, object] = {"custom_id": str(i), "kind": "math", "domain": "pool", "label": "7"}
        lines.append(line | {"chains": chains})
    verifier = MathVerifier()
    for part in (lines[:60], lines[60:]):
        decided(desk, outbox, *part)
        while waiting := outbox.take(VERIFY["math"]):  # whether answers are the same
            verify(desk, waiting, verifier="math", judge=MathJudge(verifier).judge)
            decide(desk, outbox.take(DECIDE))
            reconcile(desk, outbox)
    verifier.close()
    lenient = replace(PLAN, policy=Policy(alpha=0.6, target_risk=0.35, max_change=1.0))
    left_out = night(store, judges, replace(lenient, policy=replace(lenient.policy, rules=1)))
    made = night(store, judges, lenient)
    of, before = (next(one for one in n.calibrations if one.domain == "pool") for n in (made, left_out))
    n_untold = of.report["untold"]["unknown"]
    assert 0 < n_untold < 100
    assert of.n_labels == 300 - n_untold
    assert of.model_weights == before.model_weights  # of the oldest third of those that are told
    assert of.report["n_for_weights"] == before.report["n_for_weights"] == of.n_labels // 3
    n_after = [one.report["n_fit"] + one.report["n_held_out"] for one in (of, before)]
    assert n_after[1] < n_after[0] < 300 - of.n_labels // 3  # some of the untold are as old as the weights
    assert numbers(reproduce(store, judges, tenant="default", plan=PLAN, as_of=made.as_of)) == numbers(made)
