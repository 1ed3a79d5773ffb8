"""Health: a deaf worker is told from an idle one, and a process that no longer reports is ill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery.schedules import crontab, schedule

from benchmarks.waiting import until
from worker.clock import OTHER_GAP_S, gap_of
from worker.errors import MessageError
from worker.health import DeafnessWatch, Ears, HealthReporter, check_ears, read_reports, report_path
from worker.messages import MAX_IDS, decode, encode


def test_a_worker_that_idles_before_waiting_messages_is_deaf_after_a_while() -> None:
    watch = DeafnessWatch(deaf_after_s=15)
    looks = [watch.look(n_taken=7, is_idle=True, n_waiting=3, now_s=now) for now in (0, 2, 16, 18, 33)]
    assert looks == [0, 0, 0, 16, 31]  # the first look only learns how many were taken


def test_a_worker_that_takes_something_is_not_deaf() -> None:
    watch = DeafnessWatch(deaf_after_s=15)
    for n, now in enumerate(range(0, 100, 10)):
        assert watch.look(n_taken=n, is_idle=True, n_waiting=3, now_s=now) == 0


@pytest.mark.parametrize(("is_idle", "n_waiting"), [(False, 5), (True, 0)], ids=["busy", "nothing to hear"])
def test_who_is_busy_or_has_nothing_to_hear_is_not_deaf(*, is_idle: bool, n_waiting: int) -> None:
    watch = DeafnessWatch(deaf_after_s=15)
    for now in range(0, 100, 10):
        assert watch.look(n_taken=1, is_idle=is_idle, n_waiting=n_waiting, now_s=now) == 0


def test_deafness_is_acted_on_when_it_has_lasted_twice_as_long() -> None:
    watch, ended = DeafnessWatch(deaf_after_s=1e-9), list[int]()
    check = check_ears(watch, Ears(1), waiting=lambda: 4, on_deaf=lambda: ended.append(1))
    assert check() == ""
    check()
    assert check().startswith("deaf: 4 messages wait")
    assert ended


def test_ears_know_when_all_threads_are_at_work() -> None:
    ears = Ears(1)
    with ears.hearing():
        assert not ears.is_idle
    assert (ears.is_idle, ears.n_taken) == (True, 1)


def test_a_report_says_what_is_wrong_and_goes_with_its_process(tmp_path: Path) -> None:
    faults = ["broker away"]
    reporter = HealthReporter(report_path(tmp_path, "decide"), name="decide", checks=[lambda: faults[0]])
    reporter.start()
    while not read_reports(tmp_path):
        pass
    (report,) = read_reports(tmp_path)
    assert (report.name, report.pid, report.faults) == ("decide", os.getpid(), ["broker away"])
    reporter.stop()
    assert read_reports(tmp_path) == []


def write(path: Path, **changes: object) -> None:
    report = {
        "name": "x",
        "pid": os.getpid(),
        "at": datetime.now(UTC).isoformat(),
        "faults": [],
        "n_taken": 0,
    }
    path.write_text(json.dumps(report | changes))


def test_a_process_that_stopped_reporting_is_ill(tmp_path: Path) -> None:
    write(report_path(tmp_path, "x"), at=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    assert "no report for" in read_reports(tmp_path)[0].faults[0]


def test_a_process_that_ended_is_ill(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(report_path(tmp_path, "x"), pid=gone.pid)
    assert read_reports(tmp_path)[0].faults == [f"process {gone.pid} has ended"]


def another(path: Path, pid: int) -> Path:
    """Return where another process of the same name reports."""
    return path.with_name(path.name.replace(f".{os.getpid()}.", f".{pid}."))


def test_two_processes_of_a_role_each_have_a_report(tmp_path: Path) -> None:
    mine = report_path(tmp_path, "generate")
    write(mine, name="generate")
    write(another(mine, os.getppid()), name="generate", pid=os.getppid(), faults=["deaf: 3 messages wait"])
    assert sorted(report.faults for report in read_reports(tmp_path)) == [[], ["deaf: 3 messages wait"]]
    mine.unlink()  # the well one stops
    assert [report.faults for report in read_reports(tmp_path)] == [["deaf: 3 messages wait"]]


def test_the_report_of_an_ended_process_goes_when_another_of_its_name_begins(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = report_path(tmp_path, "decide")
    write(another(mine, gone.pid), name="decide", pid=gone.pid)
    write(another(mine, os.getppid()), name="decide", pid=os.getppid())  # alive, and stays
    write(
        another(report_path(tmp_path, "other"), gone.pid), name="other", pid=gone.pid
    )  # nobody came in its place
    reporter = HealthReporter(mine, name="decide", checks=[])
    reporter.start()
    until(lambda: len(read_reports(tmp_path)) == 3, "its own report is there")
    assert sorted(report.pid for report in read_reports(tmp_path)) == sorted(
        [os.getpid(), os.getppid(), gone.pid]
    )
    assert [report.name for report in read_reports(tmp_path) if report.faults] == ["other"]
    reporter.stop()


def test_a_machine_that_shares_the_folder_speaks_for_itself(tmp_path: Path) -> None:
    theirs = tmp_path / f"decide@elsewhere.{os.getpid()}.health.json"
    write(theirs, faults=["broker away"])
    assert read_reports(tmp_path) == []
    reporter = HealthReporter(report_path(tmp_path, "decide"), name="decide", checks=[])
    reporter.start()
    reporter.stop()
    assert theirs.exists()
    os.utime(theirs, (0, 0))  # it has been gone for years
    reporter = HealthReporter(report_path(tmp_path, "decide"), name="decide", checks=[])
    reporter.start()
    reporter.stop()
    assert not theirs.exists()


def test_a_torn_report_is_ill_and_no_crash(tmp_path: Path) -> None:
    report_path(tmp_path, "x").write_text('{"name": "x", "pi')
    assert read_reports(tmp_path)[0].faults == ["unreadable"]


def test_the_clock_keeps_two_runs_apart_by_almost_a_period() -> None:
    assert gap_of(schedule(10)) == 9
    assert gap_of(crontab(hour=3)) == OTHER_GAP_S


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "text",
        {"v": 2, "ids": []},
        {"ids": []},
        {"v": 1},
        {"v": 1, "ids": ["x"]},
        {"v": 1, "ids": 3},
    ],
)
def test_what_is_no_message_of_ours_is_refused(message: object) -> None:
    with pytest.raises(MessageError):
        decode(message)


def test_a_message_with_the_wrong_number_of_arguments_or_ids_is_refused() -> None:
    for arguments in ((), (encode([]), 2), (encode([]), encode([]))):
        with pytest.raises(MessageError):
            decode(*arguments)
    with pytest.raises(MessageError, match="ids"):
        decode({"v": 1, "ids": ["00000000-0000-7000-8000-000000000001"] * (MAX_IDS + 1)})


def test_the_light_check_says_what_the_command_says(tmp_path: Path) -> None:
    def told() -> tuple[int, str]:
        check = [sys.executable, "-m", "worker.health", str(tmp_path)]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert told() == (1, "no worker process runs here\n")
    report = {"name": "decide", "pid": os.getpid(), "at": datetime.now(UTC).isoformat(), "faults": []}
    report_path(tmp_path, "decide").write_text(json.dumps(report))
    assert told() == (0, "decide: well\n")
    report_path(tmp_path, "decide").write_text(json.dumps({**report, "faults": ["broker away"]}))
    assert told() == (1, "decide: broker away\n")
