"""Nights on real rows: from labels to thresholds in force, back again, and any past night once more."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.integration.bench import Outbox, query
from tests.integration.nights import PLAN, decided, night, numbers, results_of, tasks
from tests.integration.sealed import login
from worker.calibrating import as_recorded, reproduce
from worker.errors import CalibrationBusyError, CalibrationError, UnknownCalibrationError
from worker.judging.table import Judges
from worker.labels import take_in_labels
from worker.stages import calibrate as calibrate_stage
from worker.stages.calibrate import calibrate
from worker.stages.desk import Desk
from worker.store.calibrations import FIRST, active_calibrations, calibration_for, calibrations_in_force
from worker.store.nights import activate, list_calibrations, now_known, only_run, roll_back, tenants_due
from worker.store.transactions import Store

pytestmark = pytest.mark.services


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


def test_what_one_tenant_learned_decides_nothing_of_another(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    made = night(store, judges)
    assert statuses(store) == {"": "active", "d": "active"}
    now = active_calibrations(store, {"default", "clinic"})
    then = calibrations_in_force(store, tenant="clinic", as_of=made.as_of)
    later = calibrations_in_force(store, tenant="default", as_of=datetime.now(UTC) + timedelta(seconds=1))
    for calibrations in (now, then):
        for domain in ("d", "other"):
            assert calibration_for(calibrations, tenant="clinic", domain=domain).id == FIRST
    for calibrations in (now, later):
        assert not {
            calibration_for(calibrations, tenant="default", domain=one).id for one in ("d", "other")
        } & {FIRST}
        assert calibration_for(calibrations, tenant="default", domain="d", mode="spread").id == FIRST


def test_a_login_that_cannot_tell_who_is_writing_knows_less(store: Store) -> None:
    workers = login(store, "nights_worker")
    with store.connect() as writing:
        (began,) = writing.execute(text("SELECT now()")).one()
        assert now_known(workers) < began
        writing.rollback()
    workers.dispose()


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


def test_what_is_in_force_is_contradicted_by_later_labels_and_stays(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(160))
    good = night(store, judges)
    assert good.counts["contradicted"] == {}
    wrong = [{**one, "custom_id": f"bad-{i}", "label": "neither"} for i, one in enumerate(tasks(80, seed=6))]
    decided(desk, outbox, *wrong)
    bad = night(store, judges)
    assert all(one.why for one in bad.calibrations)
    assert set(bad.counts["contradicted"]) == {"", "d"}
    assert "100.0% of the answers are wrong, above 0.2" in bad.counts["contradicted"]["d"]
    active = {row["id"] for row in list_calibrations(store, tenant="default", domain=None, active=True, n=10)}
    assert active == {one.id for one in good.calibrations}
    for past in (good, bad):
        again = reproduce(store, judges, tenant="default", plan=PLAN, as_of=past.as_of)
        assert numbers(again) == numbers(past)


def test_two_runs_at_once_are_one_run(desk: Desk, outbox: Outbox, store: Store, judges: Judges) -> None:
    decided(desk, outbox, *tasks(20))
    with only_run(store, tenant="default"), pytest.raises(CalibrationBusyError):
        night(store, judges)
    with only_run(store, tenant="other"):
        night(store, judges)  # another tenant's night is its own


def test_a_day_has_one_night_however_often_it_rings(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    # Nights that are due twelve hours from here: none becomes due while the test runs, whenever that is.
    due_at = f"{datetime.now(UTC) + timedelta(hours=12):%H:%M}"
    desk = replace(desk, settings=replace(desk.settings, calibrate_at=due_at))
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


def test_a_ring_that_is_late_makes_no_second_night(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(desk, outbox, *tasks(20))
    query(store, "UPDATE labels SET recorded_at = recorded_at - interval '1 day' RETURNING 1")

    def due_before_another_run(engine: Store, *, at: str) -> list[str]:
        due = tenants_due(engine, at=at)
        night(store, judges)
        return due

    monkeypatch.setattr(calibrate_stage, "tenants_due", due_before_another_run)
    assert calibrate(desk, judges) == 0
    assert query(store, "SELECT count(*) FROM calibration_runs")[0][0] == 1


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


def test_conflicting_and_untold_labels_are_counted_apart(
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
    assert (of_d.n_labels, made.counts["untold"]) == (1, {"d": {"conflicting": 1}})
    ((correct, truth),) = query(store, "SELECT correct, truth FROM gradings WHERE grade = 'graded'")
    assert (correct, truth) == (False, None)  # which answer would have been right was not said
    give_labels(desk, tmp_path, {"batch_id": batch, "custom_id": "d-0", "answer": "yes", "source": "judge"})
    made = night(store, judges, dry_run=True)
    assert next(one for one in made.calibrations if one.domain == "d").n_labels == 2


def test_a_decision_that_cannot_be_read_costs_the_night_nothing_but_itself(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(30))
    broken = "UPDATE decisions SET document = jsonb_set(document, '{clusters,0,members}', '[0, 99]')"
    assert query(store, f"{broken} WHERE id IN (SELECT id FROM decisions ORDER BY id LIMIT 2) RETURNING id")
    for _ in range(2):
        counts = night(store, judges).counts
        assert (counts["ungradable"], counts["labelled"]) == (2, 28)


def test_decisions_of_spread_teach_nothing_and_are_told(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    spread = [{**one, "mode": "spread", "custom_id": f"s{i}"} for i, one in enumerate(tasks(12, seed=2))]
    decided(desk, outbox, *tasks(20), *spread)
    made = night(store, judges)
    assert (made.counts["spread"], made.counts["untold"]) == (12, {})
    assert {json.dumps(one.report["untold"]) for one in made.calibrations} == {"{}"}
    assert {one.n_labels for one in made.calibrations} == {20}
    assert night(store, judges).counts["graded"] == 0  # nothing is due twice
