"""A ledger that is carried to another installation: whole or not at all, and the same when it is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from tests.integration.history import fill
from tests.integration.sealed import attack, decided, differences, found_by, id_of, seal
from worker.errors import LedgerFileError
from worker.months import id_at, month_of
from worker.seals.findings import What
from worker.stages.desk import Desk
from worker.store import importing
from worker.store.exporting import Wanted
from worker.store.filters import Filters
from worker.store.finding import find
from worker.store.story import find_task, load_story
from worker.transfer import export, import_file

pytestmark = pytest.mark.services

MONTH = month_of(datetime.now(UTC))
LAST, OLD = MONTH.plus(-1), MONTH.plus(-14)
OURS = Wanted(tenant="default")
TABLES = ("tasks", "task_events", "chains", "verdicts", "decisions", "clusters", "labels", "batches")


def ask(engine: Engine, statement: str, **values: object) -> list[Any]:
    with engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return list(found.all()) if found.returns_rows else []


def record(engine: Engine) -> dict[str, list[str]]:
    """Return every row of the record, but for what says when a label was heard of."""
    return {
        table: [
            row for (row,) in ask(engine, f"SELECT CAST(to_jsonb(x) - 'recorded_at' AS text) FROM {table} x ORDER BY 1")
        ]
        for table in TABLES
    }  # fmt: skip


def rewritten(path: Path, change: Callable[[list[Any]], None]) -> Path:
    """Change a file's lines, and have its end say that they are whole."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(lines)
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines[:-1])
    end = {"sha256": hashlib.sha256(body).hexdigest(), "n_tasks": sum("task" in line for line in lines[:-1])}
    forged = path.with_name("forged.jsonl")
    forged.write_bytes(body + json.dumps({"end": end}).encode() + b"\n")
    return forged


def test_a_ledger_arrives_as_it_left(rig: Any, other: Engine, tmp_path: Path) -> None:
    fill(rig, OLD, 3, labelled=True, sealed=False)
    fill(rig, LAST, 2, state="failed")
    rig.query("UPDATE chains SET text = :text", text="größer\nals \u2028 \\ \" ' \t 🙂")
    rig.query("UPDATE chains SET logprob = CASE index WHEN 0 THEN '-Infinity' ELSE -0.1 - 0.2 END")
    made = export(rig.store, OURS, tmp_path / "ledger.jsonl.gz")
    assert made.counts["task"] == 5
    there = import_file(other, made.path, tenant="default", who="auditor")
    assert there.n_tasks == 5
    assert record(other) == record(rig.store)
    again = export(other, OURS, tmp_path / "again.jsonl.gz")
    assert again.counts == made.counts
    assert ask(other, "SELECT DISTINCT CAST(CAST(tableoid AS regclass) AS text) FROM chains ORDER BY 1") == [
        (f"chains_{OLD.suffix}",), (f"chains_{LAST.suffix}",)
    ]  # fmt: skip


def test_an_import_is_no_change_the_second_time(rig: Any, other: Engine, tmp_path: Path) -> None:
    fill(rig, LAST, 3, labelled=True)
    path = export(rig.store, OURS, tmp_path / "ledger.jsonl").path
    first = import_file(other, path, tenant="default", who="auditor")
    assert first.rows["tasks"] == 3
    before = record(other)
    again = import_file(other, path, tenant="default", who="auditor")
    assert set(again.rows.values()) == {0}
    assert record(other) == before
    assert set(import_file(rig.store, path, tenant="default", who="auditor").rows.values()) == {0}


def test_what_came_is_told_with_who_brought_it(rig: Any, other: Engine, tmp_path: Path) -> None:
    ids = fill(rig, LAST, 3)
    made = export(rig.store, OURS, tmp_path / "l")
    there = import_file(other, made.path, tenant="default", who="auditor")
    assert ask(other, "SELECT id, who, file_sha256, n_subjects, subjects_sha256 FROM imports") == [
        (there.import_id, "auditor", made.sha256, 3, hashlib.sha256(b"".join(one.bytes for one in ids)).hexdigest())
    ]  # fmt: skip
    assert {one for (one,) in ask(other, "SELECT about_id FROM imported_subjects")} == set(ids)
    assert import_file(other, made.path, tenant="default", who="auditor").import_id is None
    ask(other, "UPDATE decisions SET is_current = false")
    more = fill(rig, LAST, 1, first=80)
    again = import_file(other, export(rig.store, OURS, tmp_path / "m").path, tenant="default", who="auditor")
    assert ask(other, "SELECT about_id FROM imported_subjects WHERE import_id = :id", id=again.import_id) == [
        (more[0],)
    ]


def test_an_imported_task_is_found_and_told(rig: Any, other: Engine, tmp_path: Path) -> None:
    (task_id,) = fill(rig, LAST, 1)
    import_file(other, export(rig.store, OURS, tmp_path / "l").path, tenant="default", who="auditor")
    assert find_task(other, str(task_id), tenant="default") == task_id
    assert [row["task_id"] for row in find(other, Filters(), tenant="default", limit=9).rows] == [task_id]
    mine, theirs = load_story(rig.store, task_id), load_story(other, task_id)
    assert (theirs.chains, theirs.decisions, theirs.events) == (mine.chains, mine.decisions, mine.events)
    assert theirs.calibration is not None


def test_an_import_that_ended_before_the_search_knew_is_mended_by_the_next(
    rig: Any, other: Engine, tmp_path: Path
) -> None:
    (task_id,) = fill(rig, LAST, 1)
    path = export(rig.store, OURS, tmp_path / "l").path
    import_file(other, path, tenant="default", who="auditor")
    ask(other, "DELETE FROM search_entries")
    assert import_file(other, path, tenant="default", who="auditor").import_id is None
    assert [row["task_id"] for row in find(other, Filters(), tenant="default", limit=9).rows] == [task_id]


def test_a_calibration_comes_along_retired(rig: Any, other: Engine, tmp_path: Path) -> None:
    fill(rig, LAST, 1, sealed=False)
    fitted = uuid7()
    rig.query(
        "INSERT INTO calibrations (id, domain, method, status, lambda, tau_margin, tau_conf, tau_score) "
        "VALUES (:id, 'math', 'conformal', 'active', 0.1, 0.2, 0.3, 0.4)",
        id=fitted,
    )
    rig.query("UPDATE decisions SET calibration_id = :id", id=fitted)
    path = export(rig.store, OURS, tmp_path / "l").path
    import_file(other, path, tenant="default", who="auditor")
    assert ask(other, "SELECT status, lambda FROM calibrations WHERE id = :id", id=fitted) == [
        ("retired", 0.1)
    ]
    assert ask(other, "SELECT count(*) FROM calibrations WHERE status = 'active'") == [(1,)]
    assert set(import_file(other, path, tenant="default", who="auditor").rows.values()) == {0}


def test_only_what_is_finished_ours_and_asked_for_leaves(rig: Any, tmp_path: Path) -> None:
    old = fill(rig, OLD, 2)
    new = fill(rig, LAST, 2)
    fill(rig, LAST, 1, first=50, state="queued")
    fill(rig, LAST, 1, first=60, tenant="other")
    (batch,) = rig.query("SELECT DISTINCT batch_id FROM tasks WHERE id = :id", id=old[0])[0]

    def exported(name: str, **wanted: Any) -> set[UUID]:
        path = export(rig.store, Wanted(tenant="default", **wanted), tmp_path / name).path
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        return {UUID(line["task"]["id"]) for line in lines if "task" in line}

    border = id_at(LAST.starts_at)
    assert exported("all") == {*old, *new}
    assert exported("since", from_id=border) == set(new)
    assert exported("until", until_id=border) == set(old)
    assert exported("batch", batch=batch) == set(old)
    assert exported("none", batch=uuid7()) == set()


def test_a_later_decision_made_here_stays_the_current_one(rig: Any, other: Engine, tmp_path: Path) -> None:
    fill(rig, LAST, 1, sealed=False)
    path = export(rig.store, OURS, tmp_path / "l").path
    import_file(other, path, tenant="default", who="auditor")
    ask(other, "UPDATE decisions SET is_current = false")
    ask(
        other,
        "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', CAST(:id AS text), "
        "'is_current', true))).* FROM decisions d",
        id=str(uuid7()),
    )
    import_file(other, path, tenant="default", who="auditor")
    assert ask(other, "SELECT id = task_id FROM decisions WHERE is_current") == [(False,)]


def test_what_is_on_record_with_another_content_ends_the_import(
    rig: Any, other: Engine, tmp_path: Path
) -> None:
    fill(rig, LAST, 2, sealed=False)
    path = export(rig.store, OURS, tmp_path / "l").path
    import_file(other, path, tenant="default", who="auditor")
    fill(rig, LAST, 1, first=70, sealed=False)
    path = export(rig.store, OURS, tmp_path / "m").path
    for place, value in (
        ("chains.engine", "x"),
        ("decisions.confidence", 0.5),
        ("clusters.answer", "x"),
        ("tasks.kind", "qa"),
    ):
        table, column = place.split(".")
        ask(other, f"UPDATE {table} SET {column} = :value", value=value)
        before = record(other)
        with pytest.raises(LedgerFileError, match=rf"line 5: {table} .*another {column}"):
            import_file(other, path, tenant="default", who="auditor")
        assert record(other) == before
        ask(
            other,
            f"UPDATE {table} SET {column} = :value",
            value=rig.query(f"SELECT {column} FROM {table}")[0][0],
        )


def _set(place: str, value: object) -> Callable[[list[Any]], None]:
    """Return what sets one place, written like ``3.chains.0.index``, of a file's lines."""

    def change(lines: list[Any]) -> None:
        *path, last = [int(word) if word.isdigit() else word for word in place.split(".")]
        at: Any = lines
        for word in path:
            at = at[word]
        at[last] = value

    return change


IMPOSSIBLE = [
    (_set("4.chains.0.index", "first"), "line 5: .*is none of the task's"),
    (_set("4.chains.1.index", 99999), "line 5: .*is none of the task's"),
    (_set("4.chains.0.text", "a\x00b"), "line 5: "),
    (_set("4.chains.0.text", None), "line 5: .*null value"),
    (_set("4.verdicts.0.outcome", "maybe"), "line 5: .*outcome_known"),
    (_set("4.task.id", "x"), "line 5: .*id"),
    (_set("1.batch.id", 7), "line 2: the id of the batch"),
    (_set("4.task.batch_id", str(uuid7())), "line 5: .*foreign key"),
    (_set("4.task.tenant", "other"), "line 5: a row is of another tenant"),
    (_set("4.labels", [{"tenant": "other"}]), "line 5: .*(another tenant|not of this task)"),
    (_set("4.chains.0.task_id", str(uuid7())), "line 5: one of the chains is not of this task"),
    (_set("4.clusters.0.decision_id", str(uuid7())), "line 5: one of the clusters is not of this task"),
    (_set("4.chains", "none"), "line 5: chains are missing"),
    (_set("4.chains.0", 7), "line 5: one of the chains is no object"),
    (_set("0.ledger.tenant", "other"), "line 1: .*tenant 'other'"),
    (_set("0.ledger.schema", "0999_future"), "line 1: .*newer version"),
    (_set("0.ledger.columns.chains", ["task_id", "index", "colour"]), "line 1: .*'colour' there"),
    (_set("0.ledger.columns.chains", []), "line 1: the columns of chains are missing"),
    (_set("0.ledger.columns", None), "line 1: the columns are missing"),
    (_set("4.verdicts.0.claim", None), "line 5: .*null value"),
    (_set("4.chains.0.n_tokens", 2**40), "line 5: .*out of range"),
    (_set("4.chains.0.n_tokens", "many"), "line 5: .*invalid input syntax"),
    (
        _set("4.task.created_at", "0001-01-01T00:00:00+14:00"),
        "line 5: created_at .*outside the years",
    ),
    (_set("4.task.not_before", "9999-12-31T23:59:00-14:00"), "line 5: not_before .*outside the years"),
    (_set("4.decisions.0.created_at", "8999-12-31T23:59:00Z"), "line 5: .*a time to come"),
    (_set("4.decisions.0.created_at", 7), "line 5: created_at 7 is no time"),
    (_set("1.batch.created_at", "0001-01-01T00:00:00+14:00"), "line 2: created_at .*outside the years"),
    (_set("4.events.0.at", "0044-03-15T12:00:00+00 BC"), "line 5: at .*is no time"),
    (_set("4.task.spec", {"custom_id": "x"}), "line 5: the task cannot be read"),
    (_set("4.decisions.0.document", {}), "line 5: the task cannot be read: .*abstain_reasons"),
    (_set("4.decisions.0.document.clusters", [{"id": 0}]), "line 5: the task cannot be read: .*answer"),
    (_set("4.decisions.0.document.clusters.0.members", [0, 77]), "line 5: .*none of the task's"),
    (_set("4.decisions.0.document.clusters.0.members", None), "line 5: the task cannot be read"),
    (_set("4.decisions.0.document.abstain_reasons", ["moody"]), "line 5: the task cannot be read: .*moody"),
]


def test_a_file_that_cannot_be_is_refused_with_its_line_and_leaves_nothing(rig: Any, tmp_path: Path) -> None:
    fill(rig, LAST, 3, sealed=False)
    whole = export(rig.store, OURS, tmp_path / "l.jsonl").path
    for table in ("tasks", "batches", "task_events"):
        rig.query(f"DELETE FROM {table}")
    for change, told in IMPOSSIBLE:
        with pytest.raises(LedgerFileError, match=re.compile(told, re.DOTALL)):
            import_file(rig.store, rewritten(whole, change), tenant="default", who="auditor")
        assert all(rows == [] for rows in record(rig.store).values()), told
    import_file(rig.store, whole, tenant="default", who="auditor")


def test_pages_of_lines_are_written_like_one(
    rig: Any, other: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE_LINES", 2)
    monkeypatch.setattr("worker.store.exporting.PAGE_TASKS", 2)
    fill(rig, LAST, 7, labelled=True)
    import_file(other, export(rig.store, OURS, tmp_path / "l").path, tenant="default", who="auditor")
    assert record(other) == record(rig.store)


def test_events_that_come_later_stand_after_the_imported_ones(
    rig: Any, other: Engine, tmp_path: Path
) -> None:
    rig.query("SELECT setval('task_events_id_seq', 1000000)")
    (task_id,) = fill(rig, LAST, 1)
    import_file(other, export(rig.store, OURS, tmp_path / "l").path, tenant="default", who="auditor")
    ask(other, "INSERT INTO task_events (task_id, to_state, who) VALUES (:id, 'queued', 'later')", id=task_id)
    assert [who for (who,) in ask(other, "SELECT who FROM task_events ORDER BY id")] == ["test", "later"]


def test_what_came_by_an_import_is_not_taken_for_slipped_in(
    desk: Desk, other: Engine, tmp_path: Path
) -> None:
    decided(desk, "a")
    path = export(desk.store, OURS, tmp_path / "l").path
    decided(replace(desk, store=other), "b")
    assert len(seal(other)) == 1
    import_file(other, path, tenant="default", who="auditor")
    assert {one.what for one in found_by(other)[0]} == {What.IMPORTED}
    assert sum(one.n_entries for one in seal(other, everything=True)) == 3  # decision, label, the import
    assert {one.what for one in found_by(other)[0]} == {What.IMPORTED}
    attack(other, "chains", "UPDATE chains SET text = 'x' WHERE task_id = :id", id=id_of(other, "a"))
    assert {what for what, _, _ in differences(other)} == {"changed"}
