"""Each role in a process of its own that knows two URLs and nothing else, as on machines of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.waiting import until
from db.migrate import migrate
from db.session import connect
from worker.embedded.services import Services
from worker.errors import ServiceError

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
ROLES = (
    "generate",
    "generate.given",
    "verify.math",
    "verify.embedding",
    "decide",
    "reconcile",
    "beat",
    "beat",
)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    running = Services(tmp_path / "servers")
    try:
        running.start()
    except ServiceError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"the embedded servers cannot start here: {error}")
    migrate(running.database_url)
    yield running
    running.stop()


def test_roles_on_machines_of_their_own_need_two_urls_only(services: Services, tmp_path: Path) -> None:
    lines = [
        {
            "custom_id": "sampled",
            "kind": "math",
            "prompt": "1 + 1",
            "verify": [{"verifier": "math", "reference": "2"}],
        },
        {"custom_id": "given", "kind": "math", "chains": [{"text": "3"}, {"text": "3"}]},
    ]
    recording, tasks = tmp_path / "recording.jsonl", tmp_path / "tasks.jsonl"
    recording.write_text(
        json.dumps({"prompt": "1 + 1", "chains": [{"text": "2", "logprob": -1.0, "n_tokens": 1}] * 8})
    )
    tasks.write_text("\n".join(json.dumps(line) for line in lines))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MERGEREASONER_")}
    urls = plain | {"DATABASE_URL": services.database_url, "BROKER_URL": services.broker_url}
    replay = {"MERGEREASONER_ENGINE": "replay", "MERGEREASONER_REPLAY_FILE": str(recording)}

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *arguments]

    processes = []
    for i, role in enumerate(ROLES):
        own = {"MERGEREASONER_STATE_DIR": str(tmp_path / f"machine {i}")}
        engine = replay if role == "generate" else {}
        with (tmp_path / f"{i}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    command("worker", "--queues", role),
                    env=urls | own | engine,
                    cwd=ROOT,
                    stdout=log,
                    stderr=log,
                )
            )
    try:
        elsewhere = urls | {"MERGEREASONER_STATE_DIR": str(tmp_path / "the producer's")}
        submit = command("submit", str(tasks), "--wait", "--json")
        done = subprocess.run(
            submit, env=elsewhere, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["states"] == {"answered": 2}
        # On a slow machine the tasks are answered before a beat is up: their stages publish themselves.
        until(lambda: len(rings(services)) == 1, "a beat's first ring")
        processes[ROLES.index("beat")].kill()
        first = rings(services)
        until(lambda: rings(services) != first, "the clock goes on")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def rings(services: Services) -> list[Any]:
    """Return when the reconciler's bell was rung last."""
    engine = connect(services.database_url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT last_run_at FROM beat_jobs WHERE name = 'reconcile'").all()
    engine.dispose()
    return list(found)
