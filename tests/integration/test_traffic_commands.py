"""The operator's commands about traffic, as they are typed, on real servers: what they do and what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from cli.main import app
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.generate import generate_given
from worker.store.dead import park_message

pytestmark = pytest.mark.services

Run = Callable[..., Any]
LINE = {"kind": "math", "chains": [{"text": "4"}] * 3, "options": {"equivalence": "exact"}}


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    environment = {
        "DATABASE_URL": settings.database_url,
        "BROKER_URL": settings.broker_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments], env=environment)


@pytest.fixture
def submit(run: Run, tmp_path: Path) -> Callable[..., str]:
    def send(n: int, *options: str, verify: bool = False) -> str:
        file = tmp_path / "tasks.jsonl"
        more = {"verify": [{"verifier": "math", "reference": "4"}]} if verify else {}
        file.write_text("\n".join(json.dumps({**LINE, **more, "custom_id": f"t{i}"}) for i in range(n)))
        return str(said(run("submit", file, "--json", *options))["batch_id"])

    return send


def said(result: Any, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def listed(result: Any, code: int = 0) -> list[Any]:
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def queue_named(run: Run, name: str) -> Any:
    return next(one for one in listed(run("queue", "list", "--json")) if one["name"] == name)


def end(rig: Any) -> None:
    """Work off whatever waits."""
    while rig.sweep() or any(rig.queues.values()):
        generate_given(rig.desk, rig.take(GENERATE_GIVEN))
        decide(rig.desk, rig.take(DECIDE))


def test_a_paused_queue_keeps_what_waits_until_it_is_resumed(run: Run, submit: Any, rig: Any) -> None:
    submit(3)
    rig.sweep()  # they are in the broker already
    assert said(run("queue", "pause", GENERATE_GIVEN, "--why", "new weights", "--json"))["paused"]
    generate_given(rig.desk, rig.take(GENERATE_GIVEN))
    assert rig.sweep() == 0
    assert said(run("status", "last", "--json"))["states"] == {"queued": 3}
    found = queue_named(run, GENERATE_GIVEN)
    assert (found["n_waiting"], found["n_backlog"], found["why"]) == (3, 3, "new weights")
    assert "new weights" in run("queue", "list").stdout
    assert "runs" in run("queue", "resume", GENERATE_GIVEN).stdout
    end(rig)
    assert said(run("status", "last", "--json"))["states"] == {"answered": 3}
    assert queue_named(run, GENERATE_GIVEN)["n_waiting"] == 0
    assert "was not paused" in run("queue", "resume", GENERATE_GIVEN).stdout
    for command in ("pause", "resume"):
        unknown = run("queue", command, "verify.magic")
        assert (unknown.exit_code, "the queues are" in unknown.stderr) == (2, True)


def test_a_limit_bounds_what_starts_until_it_is_removed(run: Run, submit: Any, rig: Any) -> None:
    limit = ("limit", "set", "tenant", "default", "--per-second", "0.001", "--burst", "2", "--json")
    assert said(run(*limit)) == {"scope": "tenant", "name": "default", "per_s": 0.001, "burst": 2.0}
    submit(5)
    assert rig.sweep() == 2
    assert rig.sweep() == 0
    (shown,) = listed(run("limit", "list", "--json"))
    assert (shown["name"], shown["per_s"], shown["tokens"] < 1) == ("default", 0.001, True)
    assert "default" in run("limit", "list").stdout
    assert run("limit", "remove", "tenant", "default").exit_code == 0
    assert rig.sweep() == 3
    assert listed(run("limit", "list", "--json")) == []
    assert said(run("limit", "remove", "tenant", "default", "--json"), code=1) == {"removed": False}
    for wrong in (("--per-second", "0"), ("--per-second", "nan"), ("--per-second", "1", "--burst", "0.5")):
        assert run("limit", "set", "model", "m", *wrong).exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--per-second", "1e308"),
        ("--per-second", "1e-300"),
        ("--per-second", "5", "--burst", "1e300"),
        ("--per-second", "nan"),
    ],
)
def test_a_mistyped_limit_is_refused_and_stops_no_sweep(
    run: Run, submit: Any, rig: Any, options: tuple[str, ...]
) -> None:
    refused = run("limit", "set", "model", "x", *options)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
    assert listed(run("limit", "list", "--json")) == []
    with pytest.raises(IntegrityError, match="in_reach"):
        rig.query(
            "INSERT INTO rate_limits (scope, name, per_s, burst, tokens) VALUES ('model', 'x', 1e308, 1e308, 1)"
        )
    submit(3)
    assert rig.sweep() == 3


@pytest.mark.parametrize(("per_s", "burst"), [("1e-6", "1"), ("1e9", "1e9")])
def test_every_limit_that_may_be_set_can_be_reckoned_with_for_a_century(
    run: Run, submit: Any, rig: Any, per_s: str, burst: str
) -> None:
    said(run("limit", "set", "tenant", "default", "--per-second", per_s, "--burst", burst, "--json"))
    rig.age("rate_limits", "refilled_at", hours=24 * 36_525)
    submit(3)
    assert rig.sweep() == min(3, float(burst))


def test_words_that_postgres_cannot_keep_are_kept_without_what_it_refuses(run: Run) -> None:
    assert run("queue", "pause", "decide", "--why", "look \udcff").exit_code == 0
    assert queue_named(run, "decide")["why"] == "look \ufffd"
    assert run("limit", "set", "tenant", "\udcff", "--per-second", "1").exit_code == 0
    assert [one["name"] for one in listed(run("limit", "list", "--json"))] == ["\ufffd"]
    assert run("limit", "remove", "tenant", "\udcff").exit_code == 0


def test_cancel_drops_what_waits_and_what_is_at_work_and_keeps_what_is_done(
    run: Run, submit: Any, rig: Any
) -> None:
    batch = submit(3)
    rig.sweep()
    done, running, _ = rig.take(GENERATE_GIVEN)
    generate_given(rig.desk, [done])
    decide(rig.desk, rig.take(DECIDE))
    held = rig.desk.claim([running], queue=GENERATE_GIVEN, from_states=["queued"], to_state="generating")
    assert said(run("cancel", batch, "--json")) == {"batch_id": batch, "n_cancelled": 2}
    generate_given(rig.desk, [task.id for task in held])  # who is still at it is refused
    assert rig.sweep() == 0
    assert said(run("status", batch, "--json"))["states"] == {"answered": 1, "cancelled": 2}
    assert [one["state"] for one in listed(run("results", batch))] == ["answered", "cancelled", "cancelled"]
    assert "0 of 3" in run("cancel", batch).stdout
    refused = run("retry", batch)
    assert (refused.exit_code, "was cancelled" in refused.stderr) == (2, True)


def test_an_expired_deadline_is_told_everywhere_and_a_new_one_revives(
    run: Run, submit: Any, rig: Any
) -> None:
    batch = submit(3, "--deadline", "1h")
    rig.sweep()
    generate_given(rig.desk, rig.take(GENERATE_GIVEN)[:1])
    decide(rig.desk, rig.take(DECIDE))
    rig.age("batches", "deadline_at")
    rig.sweep()
    status = said(run("status", batch, "--json"), code=1)
    assert (status["states"], status["n_expired"], status["finished"]) == (
        {"answered": 1, "failed": 2},
        2,
        True,
    )
    assert "2 failed because the deadline passed" in run("status", batch).stdout
    errors = listed(run("results", batch, "--errors"), code=1)
    assert [one["error"]["type"] for one in errors] == ["DeadlinePassed"] * 2
    refused = run("retry", batch)
    assert (refused.exit_code, "has passed" in refused.stderr) == (2, True)
    assert run("retry", batch, "--deadline", "soon").exit_code == 2
    assert said(run("retry", batch, "--deadline", "2h", "--json"))["n_retried"] == 2
    end(rig)
    assert said(run("status", batch, "--json"))["states"] == {"answered": 3}


def test_retry_takes_up_failed_tasks_all_or_by_name(run: Run, submit: Any, rig: Any) -> None:
    submit(3, verify=True)
    rig.sweep()
    generate_given(rig.desk, rig.take(GENERATE_GIVEN))
    rig.query(
        "UPDATE tasks SET state = 'failed', finished_at = now(), error = '{\"type\": \"VerifierError\"}'"
    )
    rig.query(
        "INSERT INTO task_events (task_id, from_state, to_state, who) "
        "SELECT id, 'verifying', 'failed', 'test' FROM tasks"
    )
    assert said(run("retry", "last", "--task", "t1", "--json"))["n_retried"] == 1
    assert said(run("status", "last", "--json"), code=1)["states"] == {"failed": 2, "verifying": 1}
    assert queue_named(run, VERIFY["math"])["n_waiting"] == 1
    unknown = run("retry", "last", "--task", "t9")
    assert (unknown.exit_code, "no task 't9'" in unknown.stderr) == (2, True)
    assert run("retry", "last", "--task", "t1").exit_code == 1  # it has not failed
    assert "2 tasks" in run("retry", "last").stdout
    assert rig.query("SELECT count(*) FROM chains")[0][0] == 9  # and nothing is sampled again


def test_dead_letters_are_listed_and_driven_again(run: Run, submit: Any, rig: Any) -> None:
    batch = submit(1)
    for _ in range(rig.desk.settings.max_deliveries):
        rig.sweep()
        taken = rig.take(GENERATE_GIVEN)
        assert rig.desk.claim(
            taken, queue=GENERATE_GIVEN, from_states=["queued", "generating"], to_state="generating"
        )
        rig.age(column="lease_until")
        rig.age()
    rig.sweep()
    park_message(rig.store, queue=DECIDE, body=[{"v": 1, "ids": [str(taken[0])]}], reason="old", who="test")
    park_message(rig.store, queue=DECIDE, body="rubbish", reason="no message envelope", who="test")
    task, *messages = listed(run("dead", "list", "--json"))
    assert (task["custom_id"], task["batch_id"]) == ("t0", batch)
    assert "begun 3 times and never ended" in task["reason"]
    assert [one["reason"] for one in messages] == ["no message envelope", "old"]
    assert "no message envelope" in run("dead", "list").stdout
    assert run("dead", "redrive", "seventeen").exit_code == 2
    again = said(run("dead", "redrive", task["id"], "--json"))
    assert again == {"n_tasks": 1, "n_messages": 0, "n_unreadable": 0}
    assert said(run("dead", "redrive", "--json")) == {"n_tasks": 0, "n_messages": 1, "n_unreadable": 1}
    assert [one["reason"] for one in listed(run("dead", "list", "--json"))] == ["no message envelope"]
    end(rig)
    assert said(run("status", batch, "--json"))["states"] == {"answered": 1}
