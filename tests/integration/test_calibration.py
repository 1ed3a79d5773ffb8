"""Nights on real rows: from labels to thresholds in force, back again, and any past night once more."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from reasoner.decisions import Thresholds
from reasoner.guards import Policy
from tests.integration.bench import Outbox, query, send
from verifiers.math.verifier import MathVerifier
from worker.calibrating import Night, Plan, as_recorded, reproduce, run_night
from worker.deciding import decide_task
from worker.errors import CalibrationBusyError, CalibrationError, UnknownCalibrationError
from worker.judging.math import MathJudge
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.labels import take_in_labels
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.refitting import fit_weights
from worker.stages.calibrate import calibrate
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.ballots import ballot_table
from worker.store.batches import results
from worker.store.calibrations import FIRST
from worker.store.chains import load_chains
from worker.store.gradings import Window, graded_table
from worker.store.nights import activate, list_calibrations, only_run, roll_back
from worker.store.transactions import Store
from worker.store.verdicts import load_verdicts
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.services

PLAN = Plan(policy=Policy(alpha=0.8, target_risk=0.2, max_change=1.0))


@pytest.fixture
def judges(desk: Desk) -> Iterator[Judges]:
    with Judges(Surroundings(settings=desk.settings, store=desk.store)) as opened:
        yield opened


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


def statuses(store: Store) -> dict[str, str]:
    return {
        row["domain"]: row["status"]
        for row in reversed(list_calibrations(store, tenant="default", domain=None, active=False, n=100))
        if row["run_id"] is not None
    }


def test_a_night_puts_thresholds_in_force_that_later_decisions_name(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160), *tasks(20, domain="small", seed=1))
    made = night(store, judges)
    assert made.counts["graded"] == 180
    found = {one.domain: one for one in made.calibrations}
    assert {name: one.why for name, one in found.items() if name != "small"} == {"": "", "d": ""}
    assert statuses(store) == {"": "active", "d": "active", "small": "rejected"}
    assert found["d"].thresholds.tau_conf > 0.3
    assert "too_few_labels" in found["small"].why
    (line,) = results_of(store, decided(desk, outbox, *tasks(1, domain="d", seed=7)))
    assert line["calibration_id"] == str(found["d"].id)
    (line,) = results_of(store, decided(desk, outbox, *tasks(1, domain="small", seed=8)))
    assert line["calibration_id"] == str(found[""].id)  # the fallback
    spread = {**tasks(1, seed=9)[0], "mode": "spread"}
    (line,) = results_of(store, decided(desk, outbox, spread))
    assert line["calibration_id"] == str(FIRST)
    report = found["d"].report
    assert report["n_fit"] + report["n_held_out"] == 160
    assert report["consensus"]["n"] == 8
    assert report["certified"]["risk_bound"] <= 0.2


def results_of(store: Store, batch: str) -> list[dict[str, Any]]:
    return list(results(store, UUID(batch)))


def test_a_past_night_is_had_again_to_the_last_digit_whatever_came_since(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges, tmp_path: Path
) -> None:
    batch = decided(desk, outbox, *tasks(160))
    first = night(store, judges)
    lines = [{"batch_id": batch, "custom_id": f"d-{i}", "answer": "no", "source": "later"} for i in range(80)]
    give_labels(desk, tmp_path, *lines)
    decided(desk, outbox, *tasks(100, domain="d", seed=3), *tasks(150, domain="new", seed=4))
    second = night(store, judges)
    assert numbers(second) != numbers(first)
    for past in (first, second):
        again = reproduce(store, judges, tenant="default", plan=replace(PLAN, max_labels=7), as_of=past.as_of)
        assert again.plan == PLAN  # the night's own
        assert numbers(again) == numbers(past)
        assert [as_recorded(store, one, tenant="default") for one in again.calibrations] == [True] * len(
            past.calibrations
        )
    with pytest.raises(CalibrationError, match="has not come yet"):
        reproduce(store, judges, tenant="default", plan=PLAN, as_of=second.as_of + timedelta(days=1))


def give_labels(desk: Desk, tmp_path: Path, *lines: object) -> None:
    take_in_labels(
        desk.store,
        io.BytesIO("\n".join(json.dumps(line) for line in lines).encode()),
        file="labels",
        error_file=tmp_path / "errors",
        settings=desk.settings,
    )


def numbers(made: Night) -> str:
    return json.dumps(
        [
            [str(one.id), one.domain, one.why, one.report, one.curve, one.drift, str(one.thresholds)]
            for one in made.calibrations
        ]
    )


def test_a_dry_run_changes_no_calibration(desk: Desk, outbox: Outbox, store: Store, judges: Judges) -> None:
    decided(desk, outbox, *tasks(160))
    made = night(store, judges, dry_run=True)
    assert made.run_id is None
    assert len(made.calibrations) == 2
    assert statuses(store) == {}


def test_rollback_goes_back_step_by_step_to_the_first(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    one, two = night(store, judges), night(store, judges)
    of = [{found.domain: found.id for found in made.calibrations} for made in (one, two)]
    back = partial(roll_back, store, tenant="default", who="test")
    assert back(domain="d") == of[0]["d"]
    assert back(domain="d") is None  # there was none before: the fallback serves
    with pytest.raises(UnknownCalibrationError):
        back(domain="d")
    assert back(domain="d", to=of[1]["d"]) == of[1]["d"]
    assert back(domain="") == of[0][""]
    assert back(domain="") == FIRST
    with pytest.raises(UnknownCalibrationError):
        back(domain="")
    with pytest.raises(UnknownCalibrationError):
        back(domain="d", to=of[0][""])  # of another domain
    assert query(store, "SELECT count(*) FROM calibrations WHERE status = 'active'") == [(2,)]


def test_a_held_candidate_waits_for_a_person(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    made = night(store, judges, activate=False)
    assert set(statuses(store).values()) == {"candidate"}
    of_d = next(one.id for one in made.calibrations if one.domain == "d")
    assert activate(store, of_d, tenant="default", who="test") == "d"
    assert statuses(store)["d"] == "active"
    with pytest.raises(UnknownCalibrationError):
        activate(store, of_d, tenant="other", who="test")


def test_a_rejected_candidate_leaves_the_one_in_force(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    good = night(store, judges)
    strict = replace(PLAN, policy=replace(PLAN.policy, target_risk=0.01))
    bad = night(store, judges, strict)
    assert all(one.why for one in bad.calibrations)
    active = {row["id"] for row in list_calibrations(store, tenant="default", domain=None, active=True, n=10)}
    assert active == {one.id for one in good.calibrations}
    with pytest.raises(UnknownCalibrationError, match="rejected"):
        activate(store, bad.calibrations[0].id, tenant="default", who="test")


def test_two_runs_at_once_are_one_run(desk: Desk, outbox: Outbox, store: Store, judges: Judges) -> None:
    decided(desk, outbox, *tasks(20))
    with only_run(store, tenant="default"), pytest.raises(CalibrationBusyError):
        night(store, judges)
    with only_run(store, tenant="other"):
        night(store, judges)  # another tenant's night is its own


def test_a_day_has_one_night_however_often_it_rings(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    assert calibrate(desk, judges) == 0  # no labels, nothing due
    decided(desk, outbox, *tasks(20))
    assert calibrate(desk, judges) == 0  # what came after the last night's time waits for the next one
    query(store, "UPDATE labels SET recorded_at = recorded_at - interval '1 day' RETURNING 1")
    night(store, judges, domain="d")  # of one domain only: no night
    with ThreadPoolExecutor(3) as rings:
        assert sum(rings.map(lambda _: calibrate(desk, judges), range(3))) == 1
    assert calibrate(desk, judges) == 0
    query(store, "UPDATE calibration_runs SET started_at = started_at - interval '1 day' RETURNING 1")
    assert calibrate(desk, judges) == 1  # the night that passed while nothing ran is caught up with
    query(store, "UPDATE calibration_runs SET started_at = started_at - interval '2 days' RETURNING 1")
    off = replace(desk, settings=replace(desk.settings, calibrate_at="off"))
    assert calibrate(off, judges) == 0
    query(store, "UPDATE calibration_runs SET started_at = now(), finished_at = NULL RETURNING 1")
    assert calibrate(desk, judges) == 0  # one is at work, or died less than an hour ago


def test_a_broken_night_is_recorded_and_changes_nothing(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE calibration_events RENAME COLUMN why TO gone"))
    with pytest.raises(DBAPIError, match="why"):
        night(store, judges)
    assert statuses(store) == {}
    ((error, finished),) = query(store, "SELECT error, finished_at FROM calibration_runs")
    assert "why" in error
    assert finished is not None


def test_conflicting_and_untold_labels_teach_nothing_and_are_counted(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges, tmp_path: Path
) -> None:
    batch = decided(desk, outbox, *tasks(3, label=False))
    name = {"batch_id": batch, "at": "2026-05-03T10:00:00Z"}
    give_labels(
        desk,
        tmp_path,
        {**name, "custom_id": "d-0", "answer": "yes", "source": "one"},
        {**name, "custom_id": "d-0", "answer": "no", "source": "other"},
        {**name, "custom_id": "d-1", "correct": False},
    )
    made = night(store, judges, dry_run=True)
    of_d = next(one for one in made.calibrations if one.domain == "d")
    assert (of_d.n_labels, made.counts["left_out"]) == (1, {"d": {"conflicting": 1}})
    ((correct, truth),) = query(store, "SELECT correct, truth FROM gradings WHERE grade = 'graded'")
    assert (correct, truth) == (False, None)  # which answer would have been right was not said
    give_labels(desk, tmp_path, {"batch_id": batch, "custom_id": "d-0", "answer": "yes", "source": "judge"})
    made = night(store, judges, dry_run=True)
    assert next(one for one in made.calibrations if one.domain == "d").n_labels == 2


def pooled(number: int, rng: random.Random) -> dict[str, object]:
    """Three models; the third copies the second, and the first is the best."""
    truth = str(number)
    first = truth if rng.random() < 0.9 else "wrong"
    second = truth if rng.random() < 0.5 else "wrong too"
    chains = [
        {"text": answer, "answer": answer, "model": model}
        for model, answer in (("a", first), ("b", second), ("c", second))
    ]
    return {"custom_id": truth, "kind": "qa", "chains": chains, "domain": "pool", "label": truth}


def test_weights_of_models_are_fitted_apart_and_used_by_the_queue(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng = random.Random(5)
    decided(desk, outbox, *(pooled(i, rng) for i in range(300)))
    made = night(store, judges)
    of_pool = next(one for one in made.calibrations if one.domain == "pool")
    assert of_pool.why == ""
    assert of_pool.report["n_for_weights"] == 100
    weights = of_pool.model_weights["fitted"]["weights"]
    assert weights["a"] > weights["b"]
    chains = [
        {"text": x, "answer": x, "model": m} for m, x in (("a", "left"), ("b", "right"), ("c", "right"))
    ]
    line = {"custom_id": "new", "kind": "qa", "chains": chains, "domain": "pool"}
    (found,) = results_of(store, decided(desk, outbox, line))
    assert (found["answer"], found["weights"]) == ("left", "fitted")  # the best model outweighs two that copy
    chains[2]["model"] = "unheard of"
    (found,) = results_of(store, decided(desk, outbox, {**line, "custom_id": "newer"}))
    assert found["weights"] == "votes"  # a fit says nothing of a model that it has not seen
    again = reproduce(store, judges, tenant="default", plan=PLAN, as_of=made.as_of)
    assert numbers(again) == numbers(made)


NEWEST = """
SELECT * FROM gradings WHERE grade = 'graded' AND until_at IS NULL AND (:domain = '' OR domain = :domain)
ORDER BY decided_at DESC, decision_id DESC LIMIT :n
"""


def test_the_columns_of_a_window_say_what_its_rows_say(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    silent = {**task(0, random.Random(0), domain="d"), "custom_id": "silent", "candidates": ["?", "??"]}
    decided(desk, outbox, *tasks(30), *tasks(5, domain="other", seed=1), silent)
    made = night(store, judges)
    for domain, n in (("", 36), ("d", 31), ("other", 5), ("none", 0)):
        for most in (4, 100):
            window = Window(
                tenant="default", as_of=made.as_of, starts_at=made.as_of - timedelta(days=1), max_labels=most
            )
            rows = query(store, NEWEST, domain=domain, n=most)[::-1]
            table = graded_table(store, window, domain=domain)
            labelled = table.labelled
            assert len(table) == len(rows) == min(n, most)
            assert labelled.masses.tolist() == [p for row in rows for p in row.masses]
            assert np.diff(labelled.starts).tolist() == [len(row.masses) for row in rows]
            assert labelled.confidence.tolist() == [row.confidence for row in rows]
            assert labelled.margin.tolist() == [row.vote_margin for row in rows]
            assert labelled.right.tolist() == [row.correct for row in rows]
            assert labelled.answerable.tolist() == [row.answerable for row in rows]
            of_truth = [0.0 if row.truth is None else row.masses[row.truth] for row in rows]
            assert labelled.of_truth.tolist() == of_truth
            assert table.n_right.tolist() == [len(row.right_chains) for row in rows]
            assert table.n_wrong.tolist() == [len(row.wrong_chains) for row in rows]
            assert table.ids == b"".join(row.decision_id.bytes + row.label_id.bytes for row in rows)


def test_ballots_in_the_database_decide_as_the_chains_do(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng = random.Random(6)
    decided(desk, outbox, *(pooled(i, rng) for i in range(300)))
    night(store, judges)
    mixed = [
        {**one, "custom_id": f"later-{i}", "verify": [{"verifier": "math", "reference": "7"}], "kind": "math"}
        for i, one in enumerate(pooled(i, rng) for i in range(40))
    ]
    decided(desk, outbox, *mixed, *tasks(20, domain="one model"))
    verifier = MathVerifier()
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(verifier).judge)
    verifier.close()
    decide(desk, outbox.take(DECIDE))
    made = night(store, judges)
    window = Window(
        tenant="default", as_of=made.as_of, starts_at=made.as_of - timedelta(days=1), max_labels=200
    )
    fitted = fit_weights(ballot_table(store, window.values, domain="pool")).fitted
    newest = query(store, NEWEST, domain="", n=200)[::-1]
    assert {row.weighted for row in newest} == {True, False}
    ids = [row.task_id for row in newest]
    chains, verdicts = load_chains(store, ids), load_verdicts(store, ids)
    lines = {
        row.id: TaskLine.model_validate(row.spec)
        for row in query(store, "SELECT id, spec FROM tasks WHERE id = ANY(:ids)", ids=ids)
    }
    for weights in (None, fitted):
        table = ballot_table(store, window.values, domain="").decided(weights)
        again = []
        for id_ in ids:
            sampled = [chain.as_chain() for chain in chains[id_]]
            known = weights if {chain.model for chain in sampled} <= {"a", "b", "c"} else None
            again.append(
                decide_task(lines[id_], sampled, verdicts[id_], calibrated=Thresholds(), fitted=known)
            )
        assert table.masses.tolist() == [one.posterior for decision in again for one in decision.clusters]
        assert table.confidence.tolist() == [decision.confidence for decision in again]
        assert table.margin.tolist() == [decision.vote_margin for decision in again]
    assert any(cluster.refuted for decision in again for cluster in decision.clusters)
    fitted_before = [one.model_weights for one in made.calibrations]
    assert any(fitted_before)
    assert query(store, "DELETE FROM chains RETURNING 1")  # as retention does
    again_fitted = night(store, judges, dry_run=True).calibrations
    assert [one.model_weights for one in again_fitted] == fitted_before


def test_decisions_of_spread_teach_nothing_and_are_told(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    spread = [{**one, "mode": "spread", "custom_id": f"s{i}"} for i, one in enumerate(tasks(12, seed=2))]
    decided(desk, outbox, *tasks(20), *spread)
    made = night(store, judges)
    assert (made.counts["spread"], made.counts["left_out"]) == (12, {})
    assert {json.dumps(one.report["left_out"]) for one in made.calibrations} == {"{}"}
    assert {one.n_labels for one in made.calibrations} == {20}
    assert night(store, judges).counts["graded"] == 0  # nothing is due twice
