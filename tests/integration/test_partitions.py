"""Months: made ahead, filled from the default partition, and never in the queue's way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from benchmarks.waiting import until
from db.migrate import check, downgrade, migrate
from db.partitions import HOLD_TASKS, PARTITIONED, REFER
from tests.integration.history import fill, places
from worker.errors import StoreBusyError
from worker.months import month_of
from worker.settings import Settings
from worker.store import partitions
from worker.store.partitions import Partition, list_partitions, make_partitions
from worker.store.transactions import brief_locks

pytestmark = pytest.mark.services

# The middle of the month: its last hour is another matter, and it must not end while the tests run.
NOW = month_of(datetime.now(UTC)).starts_at + timedelta(days=13)
MONTH = month_of(NOW)
LAST, BEFORE = MONTH.plus(-1), MONTH.plus(-2)


@pytest.fixture
def waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have locks waited for as long as a slow machine takes; two that wait for each other are ended all the same."""
    monkeypatch.setattr(partitions, "brief_locks", partial(brief_locks, timeout="100s"))
    monkeypatch.setattr("db.partitions.HASTE", "SET LOCAL lock_timeout = '100s'")


def of(parent: str, found: list[Partition]) -> list[str]:
    return [one.name for one in found if one.parent == parent and not one.is_default]


def test_the_present_month_is_made_with_two_ahead_for_every_table(rig: Any) -> None:
    made = make_partitions(rig.store, now=NOW)
    assert len(made.partitions) == 9
    found = list_partitions(rig.store)
    for parent in PARTITIONED:
        assert of(parent, found) == [f"{parent}_{MONTH.plus(i).suffix}" for i in range(3)]
    fill(rig, MONTH, 3)
    assert places(rig) == {f"chains_{MONTH.suffix}": 6}


def test_a_second_run_has_nothing_to_do(rig: Any) -> None:
    make_partitions(rig.store, now=NOW)
    assert make_partitions(rig.store, now=NOW).partitions == ()


def test_the_queue_works_without_any_month(rig: Any) -> None:
    fill(rig, MONTH, 2)
    assert places(rig) == {"chains_default": 4}


def test_rows_of_the_default_partition_move_into_their_months(rig: Any) -> None:
    before = {month: fill(rig, month, 5) for month in (BEFORE, LAST, MONTH)}
    rows = rig.query("SELECT * FROM chains ORDER BY task_id, index")
    made = make_partitions(rig.store, now=NOW)
    for parent, each in (("chains", 10), ("verdicts", 5), ("task_events", 5)):
        assert places(rig, parent) == {f"{parent}_{month.suffix}": each for month in before}
    assert made.n_moved == 3 * 20
    assert rig.query("SELECT * FROM chains ORDER BY task_id, index") == rows


def test_a_month_of_many_rows_moves_in_parts(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "PART_ROWS", 10)
    ids = fill(rig, LAST, 12)
    make_partitions(rig.store, now=NOW)
    found = [one for one in list_partitions(rig.store) if one.parent == "chains" and one.month == LAST]
    assert [one.name for one in found] == [f"chains_{LAST.suffix}_p{i}" for i in (1, 2, 3)]
    assert [one.from_id for one in found[1:]] == [one.until_id for one in found[:-1]]
    assert (found[0].from_id, found[-1].until_id) == (LAST.first_id, MONTH.first_id)
    assert sum(places(rig).values()) == 2 * len(ids)
    assert "chains_default" not in places(rig)


def test_a_busy_present_month_is_left_where_it_is_until_it_is_over(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "FEW_ROWS", 3)
    fill(rig, MONTH, 4)
    make_partitions(rig.store, now=NOW)
    assert places(rig) == {"chains_default": 8}
    later = MONTH.plus(1).starts_at + timedelta(hours=1)
    make_partitions(rig.store, now=later)
    assert places(rig) == {f"chains_{MONTH.suffix}": 8}


def test_an_id_of_no_time_stays_in_the_default_partition(rig: Any) -> None:
    rig.query(
        "INSERT INTO task_events (task_id, to_state, who) VALUES (:stranger, 'queued', 'test')",
        stranger=UUID(int=LAST.first_id.int | 4 << 76),
    )
    make_partitions(rig.store, now=NOW)
    assert places(rig, "task_events") == {"task_events_default": 1}


def test_months_can_be_made_for_old_rows_that_are_still_to_come(rig: Any) -> None:
    make_partitions(rig.store, now=NOW, since=MONTH.plus(-14))
    fill(rig, MONTH.plus(-14), 1)
    assert places(rig) == {f"chains_{MONTH.plus(-14).suffix}": 2}


def test_an_interrupted_run_is_made_up_for(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(rig, LAST, 3)
    run = partitions._run

    def interrupted_after(n: int) -> Callable[..., None]:
        steps = iter(range(n))

        def interrupted(*arguments: Any) -> None:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            run(*arguments)

        return interrupted

    n_interrupted = 0
    for n in cycle((4, 7, 11, 13)):
        monkeypatch.setattr(partitions, "_run", interrupted_after(n))
        try:
            make_partitions(rig.store, now=NOW)
        except KeyboardInterrupt:
            n_interrupted += 1
            assert sum(places(rig).values()) == 6
        else:
            break
    assert n_interrupted > 5
    assert places(rig) == {f"chains_{LAST.suffix}": 6}


def test_whoever_holds_a_table_for_long_is_not_waited_for(rig: Any) -> None:
    with rig.store.begin() as holder:
        holder.execute(text("LOCK TABLE chains IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StoreBusyError):
            make_partitions(rig.store, now=NOW)
    assert len(make_partitions(rig.store, now=NOW).partitions) == 9


@pytest.mark.usefixtures("waits_long")
def test_the_queue_goes_on_while_rows_are_sorted(rig: Any) -> None:
    for month in (BEFORE, LAST, MONTH):
        fill(rig, month, 200)
    done = threading.Event()
    failed: list[DBAPIError] = []
    task_id = fill(rig, MONTH, 1, first=5000, state="generating")[0]

    def work() -> None:
        while not done.is_set():
            try:
                rig.query(
                    "WITH held AS (UPDATE tasks SET deliveries = 1 WHERE id = :id RETURNING id) "
                    "INSERT INTO task_events (task_id, to_state, who) SELECT id, 'generating', 'w' FROM held",
                    id=task_id,
                )
                rig.query("UPDATE chains SET attempt = attempt + 1 WHERE task_id = :id", id=task_id)
            except DBAPIError as error:
                failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    made = make_partitions(rig.store, now=NOW)
    done.set()
    for worker in workers:
        worker.join()
    assert failed == []
    assert made.n_moved >= 3 * 200 * 4


@pytest.mark.usefixtures("waits_long")
def test_who_waits_for_the_queue_holds_nothing_that_the_queue_needs(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = fill(rig, MONTH, 1, state="generating")[0]
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    made: list[int] = []
    n_seen = 0
    run, queue_is_at_work = partitions._run, threading.Event()

    def run_beside_the_queue(connection: Any, plan: Any, *each: str) -> None:
        if each[0] in {HOLD_TASKS, REFER}:  # else it might slip in between two transactions of the queue's
            queue_is_at_work.wait()
        run(connection, plan, *each)

    monkeypatch.setattr(partitions, "_run", run_beside_the_queue)
    # One month after the other is waited for; each time the queue's transaction writes on, and ends.
    thread = threading.Thread(
        target=lambda: made.append(make_partitions(rig.store, now=NOW).n_moved), daemon=True
    )
    thread.start()
    while thread.is_alive():
        with rig.store.begin() as queue:
            queue.execute(text("UPDATE tasks SET deliveries = 0 WHERE id = :id"), {"id": task_id})
            queue_is_at_work.set()
            until(lambda: rig.query(waits)[0][0] or not thread.is_alive(), "it waits, or has ended")
            queue_is_at_work.clear()
            n_seen += rig.query(waits)[0][0]
            queue.execute(text("SET LOCAL lock_timeout = '100ms'"))
            for table in PARTITIONED:
                queue.execute(text(f"LOCK TABLE {table}_default IN ROW EXCLUSIVE MODE"))
    thread.join()
    assert n_seen >= 9
    assert made == [4]


def test_a_row_that_comes_in_between_is_moved(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create = partitions._create
    late = iter([MONTH])

    def created(*arguments: Any) -> None:
        create(*arguments)
        for month in late:
            fill(rig, month, 1)

    monkeypatch.setattr(partitions, "_create", created)
    assert make_partitions(rig.store, now=NOW).n_moved == 4
    assert places(rig) == {f"chains_{MONTH.suffix}": 2}


def test_a_month_that_could_not_be_attached_refuses_no_rows(rig: Any) -> None:
    fill(rig, MONTH, 1)
    with rig.store.connect() as reader:
        reader.execute(text("SELECT FROM verdicts_default"))  # and stays in its transaction
        with pytest.raises(StoreBusyError):
            make_partitions(rig.store, now=NOW)
    checks = "SELECT conname FROM pg_constraint WHERE conname LIKE '%elsewhere' OR conname LIKE '%bounds'"
    assert rig.query(checks.replace(" OR conname LIKE '%bounds'", "")) == []
    make_partitions(rig.store, now=NOW)
    assert rig.query(checks) == []


def test_two_runs_at_once_make_each_month_once(rig: Any) -> None:
    refused: list[StoreBusyError] = []

    def run() -> None:
        try:
            make_partitions(rig.store, now=NOW)
        except StoreBusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) < 3
    assert make_partitions(rig.store, now=NOW).partitions == ()


def test_sealed_rows_are_sorted_and_stay_under_guard(rig: Any) -> None:
    fill(rig, LAST, 2)
    make_partitions(rig.store, now=NOW)
    for statement in (
        "UPDATE chains SET text = 'x'",
        "DELETE FROM verdicts",
        f"TRUNCATE chains_{LAST.suffix}",
    ):
        with pytest.raises(ProgrammingError, match="refused"):
            rig.query(statement)


def test_keys_and_cascades_hold_in_every_month(rig: Any) -> None:
    ids = fill(rig, LAST, 2, sealed=False)
    make_partitions(rig.store, now=NOW)
    fill(rig, MONTH, 1)
    for place in (f"chains_{LAST.suffix}", f"chains_{MONTH.suffix}"):
        keys = rig.query(
            "SELECT contype FROM pg_constraint WHERE conrelid = CAST(:place AS regclass) AND contype <> 'n' ORDER BY 1",
            place=place,
        )
        assert [key for (key,) in keys] == ["f", "p"]
    rig.query("DELETE FROM tasks WHERE id = ANY(:ids)", ids=ids)
    assert places(rig) == {f"chains_{MONTH.suffix}": 2}


def test_a_look_at_one_task_reads_one_partition(rig: Any) -> None:
    make_partitions(rig.store, now=NOW, since=MONTH.plus(-5))
    ids = fill(rig, LAST, 3)
    for statement, values in (
        ("SELECT * FROM chains WHERE task_id = :id", {"id": ids[0]}),
        ("SELECT * FROM chains WHERE task_id IN (:id, :other)", {"id": ids[0], "other": ids[1]}),
        ("SELECT * FROM verdicts WHERE task_id = ANY(:ids)", {"ids": ids}),
        ("SELECT * FROM task_events WHERE task_id = :id", {"id": ids[0]}),
    ):
        with rig.store.begin() as connection:
            plans = [
                connection.execute(text("EXPLAIN (FORMAT JSON) " + statement), values).scalar_one()
                for _ in range(8)  # beyond the five runs after which the driver prepares a statement
            ]
        assert all(_relations(plan[0]["Plan"]) == {_relation(statement)} for plan in plans)


def _relation(statement: str) -> str:
    return f"{statement.split()[3]}_{LAST.suffix}"


def _relations(node: dict[str, Any]) -> set[str]:
    own = {node["Relation Name"]} if "Relation Name" in node else set()
    return own.union(*(_relations(child) for child in node.get("Plans", [])))


def test_the_models_still_describe_the_schema_and_the_way_down_keeps_the_rows(
    rig: Any, settings: Settings
) -> None:
    assert settings.database_url is not None
    fill(rig, LAST, 3)
    make_partitions(rig.store, now=NOW)
    check(settings.database_url)
    downgrade(settings.database_url, revision="0008_seals")
    assert places(rig) == {"chains_default": 6}
    migrate(settings.database_url)
    assert places(rig) == {"chains_default": 6}
