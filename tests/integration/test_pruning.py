"""Pruning: what may go goes, months whole where they can, and all of it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from uuid_utils.compat import uuid7

from benchmarks.waiting import until
from db.retention import EVIDENCE, TASK
from tests.integration.history import fill, places
from tests.integration.sealed import attack, decided, differences, found_by, id_of, seal
from worker.errors import StoreRightsError
from worker.months import month_of, months_before
from worker.pruning import Pruned, prune, rules_of
from worker.seals.findings import What
from worker.stages.desk import Desk
from worker.stages.upkeep import upkeep
from worker.store import pruning
from worker.store.dead import retry
from worker.store.gradings import due_tasks
from worker.store.partitions import list_partitions, make_partitions
from worker.store.pruning import Rule
from worker.store.retention import Policy, clear_policy, policies, pruned_under, prunings, set_policy

pytestmark = pytest.mark.services

NOW = datetime.now(UTC)
MONTH = month_of(NOW)
OLD, OLDER = MONTH.plus(-14), MONTH.plus(-15)
YEAR_AGO = months_before(NOW, 12)


def run(
    rig: Any, *whats: str, tenants: Sequence[str] = ("default",), keep_labelled: bool = False, **options: Any
) -> list[Pruned]:
    rules = {
        what: [
            Rule(tenant=one, older_than=YEAR_AGO, keep_labelled=keep_labelled, pruning_id=uuid7())
            for one in tenants
        ]
        for what in whats or (EVIDENCE,)
    }
    return prune(rig.store, rules, who="operator", **options)


def counts(rig: Any) -> dict[str, int]:
    tables = ("tasks", "chains", "verdicts", "task_events", "decisions", "clusters", "labels")
    return {table: rig.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


@pytest.fixture
def months(rig: Any) -> None:
    make_partitions(rig.store, now=NOW, since=OLDER)


@pytest.mark.usefixtures("months")
def test_a_month_of_which_nothing_stays_is_dropped_whole(rig: Any) -> None:
    gone, kept = fill(rig, OLD, 3), fill(rig, MONTH.plus(-1), 2)
    (done,) = run(rig)
    assert done.months == (str(OLD),)
    assert done.rows == {"chains": 6, "verdicts": 3}
    names = {one.name for one in list_partitions(rig.store)}
    assert not names & {f"chains_{OLD.suffix}", f"verdicts_{OLD.suffix}"}
    assert f"task_events_{OLD.suffix}" in names
    assert counts(rig) == {
        "tasks": 5, "chains": 4, "verdicts": 2, "task_events": 5, "decisions": 5, "clusters": 5, "labels": 0
    }  # fmt: skip
    id_ = done.pruning_ids["default"]
    assert pruned_under(rig.store, [*gone, *kept], tenant="default") == {one: {EVIDENCE: id_} for one in gone}


@pytest.mark.usefixtures("months")
def test_the_record_says_who_took_what_away_under_which_policy(rig: Any) -> None:
    gone = fill(rig, OLD, 2)
    (done,) = run(rig, unsealed=True)
    (record,) = prunings(rig.store, tenant="default", n=10)
    assert record["id"] == done.pruning_ids["default"]
    assert (record["who"], record["what"], record["n_tasks"]) == ("operator", EVIDENCE, 2)
    assert record["policy"] == {"unsealed": True, "keep_labelled": False}
    assert record["older_than"] == YEAR_AGO
    assert record["counts"] == {"rows": {"chains": 4, "verdicts": 2}, "months": [str(OLD)]}
    assert record["tasks_sha256"] == hashlib.sha256(b"".join(one.bytes for one in sorted(gone))).hexdigest()
    for statement in ("DELETE FROM pruned_tasks", "UPDATE prunings SET who = 'nobody'"):
        with pytest.raises(ProgrammingError, match="only ever added to"):
            rig.query(statement)


@pytest.mark.usefixtures("months")
@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({"state": "generating"}, "unfinished"),
        ({"state": "queued"}, "unfinished"),
        ({"sealed": False}, "unsealed"),
        ({"tenant": "other"}, "other_tenant"),
        ({"labelled": True}, "labelled"),
    ],
)
def test_what_must_stay_stays_and_the_rest_of_its_month_goes_row_by_row(
    rig: Any, kept: dict[str, Any], why: str
) -> None:
    fill(rig, OLD, 3)
    stays = fill(rig, OLD, 2, first=50, **kept)
    (planned,) = run(rig, keep_labelled=True, dry_run=True)
    assert [dict(window.fates) for window in planned.windows] == [{"goes": 3, why: 2}]
    assert counts(rig)["chains"] == 10
    assert prunings(rig.store, tenant="default", n=10) == []
    (done,) = run(rig, keep_labelled=True)
    assert (done.n_tasks, done.months) == (3, ())
    assert {one for (one,) in rig.query("SELECT task_id FROM chains")} == set(stays)
    assert done.rows == {"chains": 6, "verdicts": 3}


@pytest.mark.usefixtures("months")
@pytest.mark.parametrize("column", ["finished_at", "created_at"])
def test_an_old_task_that_ended_or_was_decided_lately_stays(rig: Any, column: str) -> None:
    ids = fill(rig, OLD, 1, sealed=False)
    table = "tasks" if column == "finished_at" else "decisions"
    rig.query(f"UPDATE {table} SET {column} = now() - interval '2 months'")
    (done,) = run(rig, unsealed=True)
    assert done.n_tasks == 0
    assert places(rig) == {f"chains_{OLD.suffix}": 2 * len(ids)}


@pytest.mark.usefixtures("months")
def test_unsealed_decisions_go_when_that_is_said(rig: Any) -> None:
    fill(rig, OLD, 2, sealed=False)
    assert run(rig)[0].n_tasks == 0
    assert run(rig, unsealed=True)[0].n_tasks == 2


def test_rows_without_a_month_go_too(rig: Any) -> None:
    fill(rig, OLD, 2)
    (done,) = run(rig)
    assert (done.n_tasks, done.months, places(rig)) == (2, (), {})


@pytest.mark.usefixtures("months")
def test_whole_tasks_go_but_for_those_that_a_label_rests_on(rig: Any) -> None:
    fill(rig, OLDER, 2)
    fill(rig, OLD, 2)
    stays = fill(rig, OLD, 1, first=50, labelled=True)
    evidence, tasks = run(rig, EVIDENCE, TASK)
    assert evidence.n_tasks == 5
    assert tasks.n_tasks == 4
    assert counts(rig) == {
        "tasks": 1, "chains": 0, "verdicts": 0, "task_events": 1, "decisions": 1, "clusters": 1, "labels": 1
    }  # fmt: skip
    assert rig.query("SELECT id FROM tasks") == [(stays[0],)]
    assert f"task_events_{OLDER.suffix}" not in {one.name for one in list_partitions(rig.store)}
    assert tasks.months == (str(OLDER),)


@pytest.mark.usefixtures("months")
def test_a_month_of_several_tenants_is_dropped_when_all_of_them_let_it_go(rig: Any) -> None:
    fill(rig, OLD, 2, tenant="a")
    fill(rig, OLD, 1, tenant="b", first=50)
    (done,) = run(rig, tenants=("a", "b"))
    assert done.months == (str(OLD),)
    assert {one["n_tasks"] for one in prunings(rig.store, tenant="a", n=9)} == {2}
    assert {one["n_tasks"] for one in prunings(rig.store, tenant="b", n=9)} == {1}
    assert prunings(rig.store, tenant="b", n=9)[0]["counts"]["rows"] == {"chains": 2, "verdicts": 1}


LABEL = """
INSERT INTO labels (id, task_id, tenant, answers, source) VALUES (:id, :id, 'default', '["2"]', 'late') RETURNING 1
"""


def labelled(rig: Any, id_: UUID) -> UUID:
    rig.query(LABEL, id=id_)
    return id_


def retried(rig: Any, id_: UUID) -> UUID:
    rig.query("UPDATE tasks SET state = 'generating' WHERE id = :id", id=id_)
    return id_


def retried_and_done(rig: Any, id_: UUID) -> UUID:
    rig.query("UPDATE tasks SET finished_at = now() WHERE id = :id", id=id_)
    return id_


def imported(rig: Any, id_: UUID) -> UUID:
    (made,) = fill(rig, OLD, 1, first=50, labelled=True)
    assert made != id_
    return made


@pytest.mark.usefixtures("months")
@pytest.mark.parametrize("meanwhile", [labelled, retried, retried_and_done, imported])
def test_a_task_that_is_to_stay_since_the_plan_saves_its_month(
    rig: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Any, UUID], UUID]
) -> None:
    ids = fill(rig, OLD, 3)
    drop, stays = pruning._drop_month, []

    def done_before(*arguments: Any, **named: Any) -> None:
        stays.append(meanwhile(rig, ids[1]))
        drop(*arguments, **named)

    monkeypatch.setattr(pruning, "_drop_month", done_before)
    (done,) = run(rig, keep_labelled=True)
    assert done.months == ()
    assert {one for (one,) in rig.query("SELECT task_id FROM chains")} == set(stays)
    gone = {*ids} - {*stays}
    assert {one for (one,) in rig.query("SELECT task_id FROM pruned_tasks")} == gone
    assert done.rows == {"chains": 2 * len(gone), "verdicts": len(gone)}


@pytest.mark.usefixtures("months")
def test_from_the_listing_of_a_month_to_its_drop_nobody_labels_its_tasks(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(rig, OLD, 2)
    tried, add = [], pruning.Tally.add

    def counted(self: Any, table: str, found: Any) -> None:
        with rig.store.connect() as connection, pytest.raises(DBAPIError, match="could not obtain lock"):
            connection.execute(
                text("SELECT FROM tasks WHERE id = :id FOR NO KEY UPDATE NOWAIT"), {"id": ids[0]}
            )
        tried.append(table)
        add(self, table, found)

    monkeypatch.setattr(pruning.Tally, "add", counted)
    assert run(rig)[0].months == (str(OLD),)
    assert tried == ["chains", "verdicts"]


WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.mark.parametrize("partitioned", [True, False])
def test_a_label_that_is_being_written_while_its_task_is_to_go_saves_it(
    rig: Any, *, partitioned: bool
) -> None:
    if partitioned:
        make_partitions(rig.store, now=NOW, since=OLDER)
    ids = fill(rig, OLD, 3)
    with ThreadPoolExecutor(1) as aside, rig.store.connect() as connection:
        connection.execute(text("SELECT FROM tasks WHERE id = :id FOR NO KEY UPDATE"), {"id": ids[1]})
        pruned = aside.submit(run, rig, keep_labelled=True)
        until(lambda: rig.query(WAITS)[0][0], "the pruning waits for the task")
        connection.execute(text(LABEL), {"id": ids[1]})
        connection.commit()
        (done,) = pruned.result()
    assert {one for (one,) in rig.query("SELECT task_id FROM chains")} == {ids[1]}
    assert {one for (one,) in rig.query("SELECT task_id FROM pruned_tasks")} == {ids[0], ids[2]}
    assert (done.months, done.rows) == ((), {"chains": 4, "verdicts": 2})


@pytest.mark.usefixtures("months")
def test_a_pruning_that_is_stopped_has_listed_what_it_took(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(rig, OLD, 3, first=0)
    fill(rig, OLD, 1, first=50, state="queued")
    monkeypatch.setattr(pruning, "STEP_TASKS", 2)
    deletes = iter([None])
    add = pruning.Tally.add

    def stopped(self: Any, table: str, found: Any) -> None:
        if table == "verdicts" and next(deletes, "stop") == "stop":
            raise KeyboardInterrupt
        add(self, table, found)

    monkeypatch.setattr(pruning.Tally, "add", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(rig)
    listed = {one for (one,) in rig.query("SELECT task_id FROM pruned_tasks")}
    left = {one for (one,) in rig.query("SELECT task_id FROM chains")}
    assert len(listed) == 2
    assert not listed & left
    monkeypatch.setattr(pruning.Tally, "add", add)
    assert run(rig)[0].n_tasks == 1


def test_what_was_pruned_verifies_as_pruned_and_what_was_removed_as_removed(desk: Desk) -> None:
    now = datetime.now(UTC)  # and not when this file was imported, perhaps before the month's end
    make_partitions(desk.store, now=now)
    decided(desk, "a", "b")
    seal(desk.store)
    soon = month_of(now).plus(2).starts_at
    rules = [Rule(tenant="default", older_than=soon, keep_labelled=False, pruning_id=uuid7())]
    (done,) = prune(desk.store, {EVIDENCE: rules}, who="operator")
    assert done.months == (str(month_of(now)),), [dict(one.fates) for one in done.windows]
    findings, _ = found_by(desk.store)
    assert {one.what for one in findings} == {What.PRUNED}
    assert len(findings) == 2 * (2 + 1)
    assert all(str(rules[0].pruning_id) in one.note for one in findings)
    (sealed,) = seal(desk.store)
    assert sealed.n_entries == 1  # the pruning itself
    assert differences(desk.store) == []
    attack(desk.store, "decisions", "DELETE FROM decisions WHERE task_id = :id", id=id_of(desk.store, "a"))
    assert {what for what, _, _ in differences(desk.store)} == {"removed"}
    attack(desk.store, "prunings", "UPDATE prunings SET n_tasks = 1")
    assert ("changed", "pruning", ("pruning",)) in differences(desk.store)


def test_what_was_pruned_is_neither_retried_nor_graded_again(rig: Any) -> None:
    fill(rig, OLD, 1, state="failed")
    rig.query(
        "INSERT INTO task_events (task_id, from_state, to_state, who) SELECT id, 'deciding', 'failed', 'w' FROM tasks"
    )
    fill(rig, OLD, 1, first=50, labelled=True)
    graded = due_tasks(rig.store, tenant="default")
    assert [len(page) for page in graded] == [1]
    assert run(rig)[0].n_tasks == 2
    assert list(due_tasks(rig.store, tenant="default")) == []
    assert retry(rig.store, tenant="default", who="w") == []


def test_a_worker_may_neither_prune_nor_say_that_something_was_pruned(rig: Any) -> None:
    for statement in (
        "DELETE FROM chains",
        "INSERT INTO prunings (id, what, older_than, policy, who) VALUES (gen_random_uuid(), 'task', now(), '{}', 'w')",
        "INSERT INTO retention_policies (tenant, evidence_months, who) VALUES ('default', 1, 'w')",
    ):
        with rig.store.connect() as connection:
            connection.execute(text("SET ROLE mergereasoner_worker"))
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(statement))


def test_a_login_that_does_not_own_the_tables_is_told_so(rig: Any) -> None:
    worker = create_engine(rig.store.url, connect_args={"options": "-c role=mergereasoner_worker"})
    with pytest.raises(StoreRightsError, match="owner"):
        prune(worker, {EVIDENCE: []}, who="w")
    worker.dispose()


def test_policies_are_kept_by_tenant_and_applied_by_the_clock(rig: Any) -> None:
    make_partitions(rig.store, now=datetime.now(UTC), since=OLD)  # as upkeep will ask the clock
    fill(rig, OLD, 2)
    fill(rig, OLD, 1, tenant="other", first=50)
    assert upkeep(rig.desk) == 0
    assert counts(rig)["chains"] == 6
    set_policy(rig.store, Policy(tenant="default", evidence_months=24, who="operator"))
    set_policy(rig.store, Policy(tenant="default", evidence_months=12, keep_labelled=True, who="operator"))
    assert [(one.tenant, one.evidence_months, one.keep_labelled) for one in policies(rig.store)] == [
        ("default", 12, True)
    ]
    upkeep(rig.desk)
    assert rig.query("SELECT DISTINCT tenant FROM chains") == [("other",)]
    clear_policy(rig.store, tenant="default")
    assert policies(rig.store) == []


def test_evidence_goes_with_its_task_at_the_latest() -> None:
    (rule,) = rules_of([Policy(tenant="t", task_months=12)], what=EVIDENCE, now=NOW)
    assert rule.older_than == YEAR_AGO
    assert rules_of([Policy(tenant="t", evidence_months=12)], what=TASK, now=NOW) == []


def test_ids_are_read_only_of_the_tenant_that_asks(rig: Any) -> None:
    ids: list[UUID] = fill(rig, OLD, 1)
    run(rig)
    assert pruned_under(rig.store, ids, tenant="other") == {}
