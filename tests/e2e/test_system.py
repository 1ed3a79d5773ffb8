"""The whole system in real processes: a run from end to end, and what is left after it was interrupted or killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.waiting import until

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]


def test_the_demo_command_decides_every_task_and_leaves_nothing_behind(system: Any) -> None:
    tasks, output = system.write_tasks(12), system.folder / "demo" / "results.jsonl"
    done = system.run("demo", tasks, "-o", output)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["answer"] for line in lines] == [str(i + 1) for i in range(12)]
    assert all(line["tokens"]["saved"] for line in lines)  # lossless early exit: the third chain settles it
    assert "merge-reasoner audit show t0" in done.stdout
    assert system.processes() == {}
    assert system.sockets() == []

    shown = system.run("audit", "show", "t3")  # nothing runs, so it opens the database for itself
    assert shown.returncode == 0, shown.stderr
    for word in ("What is 3 + 1?", "chains", "clusters", "verdicts", "ANSWERED", "queued"):
        assert word in shown.stdout
    assert system.processes() == {}

    readers = [
        system.start("status", "--json") for _ in range(3)
    ]  # at once, while nothing runs: they take turns
    assert [len(reader.communicate(timeout=300)[0].splitlines()) for reader in readers] == [1, 1, 1]

    again = system.run("demo", tasks, "-o", output)
    assert again.returncode == 0, again.stderr
    assert len(system.run("status", "--json").stdout.splitlines()) == 2  # the same database, another batch


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_an_interrupted_demo_leaves_nothing_behind(system: Any, how: signal.Signals) -> None:
    tasks = system.write_tasks(5000)
    process = system.start("demo", tasks, "-o", system.folder / "results.jsonl")
    until((system.state_dir / "processes" / "control.ready").exists, "the workers are ready")
    os.kill(process.pid, how)
    process.communicate(timeout=300)
    until(lambda: not system.processes(), "every process has ended")
    assert system.sockets() == []


def test_up_takes_up_again_what_down_and_a_killed_worker_left(system: Any) -> None:
    tasks = system.write_tasks(300)
    assert system.run("up").returncode == 0
    assert "already running" in system.run("up").stdout
    submitted = system.run("submit", tasks, "--json")
    assert json.loads(submitted.stdout)["n_tasks"] == 300
    workers = [pid for pid, command in system.processes().items() if "worker --queues generate" in command]
    os.kill(workers[0], signal.SIGKILL)
    assert system.run("down").returncode == 0
    until(lambda: not system.processes(), "every process has ended")
    assert system.run("up").returncode == 0
    finished = system.run("submit", tasks, "--wait", "--json")  # the same file: it waits for the first batch
    assert finished.returncode == 0, finished.stderr
    first, last = (json.loads(line) for line in finished.stdout.splitlines())
    assert first["existed"]
    assert last["states"] == {"answered": 300}


def test_a_killed_supervisor_takes_its_children_along_and_up_starts_again(system: Any) -> None:
    system.write_tasks(1)
    assert system.run("up").returncode == 0
    supervisor = int((system.state_dir / "processes" / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not system.processes(), "every process has ended")
    assert system.run("up").returncode == 0
    assert system.run("submit", system.folder / "tasks.jsonl", "--wait").returncode == 0


def test_bad_lines_go_to_an_error_file_and_the_good_ones_run(system: Any) -> None:
    tasks = system.write_tasks(2)
    with tasks.open("a") as stream:
        stream.write('{"custom_id": "bad", "kind": "math", "promt": "x"}\nnot json\n')
    assert system.run("up").returncode == 0
    refused = system.run("submit", tasks, "--strict")
    assert refused.returncode == 2
    assert "tasks.jsonl:3" in refused.stderr
    assert system.run("status", "--json").stdout == ""
    done = system.run("submit", tasks, "--wait", "--json")
    assert done.returncode == 1
    made = json.loads(done.stdout.splitlines()[0])
    assert (made["n_tasks"], made["n_rejected"]) == (2, 2)
    problems = [json.loads(line) for line in Path(made["error_file"]).read_text().splitlines()]
    assert [(p["line"], p["field"], p["code"]) for p in problems] == [
        (3, "promt", "unknown_field"),
        (4, "-", "invalid_json"),
    ]
    empty = system.folder / "empty.jsonl"
    empty.touch()
    assert system.run("submit", empty).returncode == 2
