"""The command itself, in processes of its own, on a state directory of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.waiting import until

ROOT = Path(__file__).parents[2]
K = 4


class System:
    """One installation: its commands, its recorded chains, and what is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state with spaces"
        self.recording = folder / "recording.jsonl"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MERGEREASONER_") and name not in {"DATABASE_URL", "BROKER_URL"}
        } | {
            "MERGEREASONER_STATE_DIR": str(self.state_dir),
            "MERGEREASONER_ENGINE": "replay",
            "MERGEREASONER_REPLAY_FILE": str(self.recording),
            "MERGEREASONER_LEASE_S": "3",
            "MERGEREASONER_MESSAGE_TASKS": "2",
            "COLUMNS": "200",
        }

    def write_tasks(self, n_tasks: int) -> Path:
        """Write math tasks and the chains that answer them."""
        file = self.folder / "tasks.jsonl"
        with file.open("w") as tasks, self.recording.open("w") as recording:
            for i in range(n_tasks):
                prompt = f"What is {i} + 1?"
                line = {"custom_id": f"t{i}", "kind": "math", "prompt": prompt, "options": {"k": K}}
                tasks.write(json.dumps(line) + "\n")
                chains = [{"text": rf"\boxed{{{i + 1}}}", "logprob": -1.0, "n_tokens": 3}] * K
                recording.write(json.dumps({"prompt": prompt, "chains": chains}) + "\n")
        return file

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "cli.main", *map(str, arguments)]

    def run(self, *arguments: str | Path, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """Return what still runs with our state directory in its command line or environment."""
        mark, found = os.fsencode(self.state_dir), {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                facts = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in fact for fact in facts) and int(entry.name) != os.getpid():
                found[int(entry.name)] = facts[0].replace(b"\0", b" ").decode(errors="replace")
        return found

    def sockets(self) -> list[str]:
        listed = Path("/proc/net/unix").read_text().splitlines()
        return [line for line in listed if str(self.state_dir) in line]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    made = System(tmp_path)
    yield made
    made.run("down")
    until(lambda: not made.processes(), "everything has ended")
