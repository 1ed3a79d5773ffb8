"""What guards an engine's processes against outliving a killed worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker.engines.watchdog import guard, release

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

ROOT = Path(__file__).resolve().parents[3]
WORKER = """
import os, signal, subprocess, sys
from worker.engines.watchdog import guard
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
held = guard([child.pid])
print(child.pid, held.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); print(1, flush=True); time.sleep(600)"


def test_a_killed_worker_s_engine_process_is_ended() -> None:
    worker = subprocess.run(
        [sys.executable, "-c", WORKER, STUBBORN], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    child, watchdog = map(int, worker.stdout.split())
    # The guard is gone when its work is done; both are orphans, so only /proc tells.
    while Path(f"/proc/{watchdog}").exists() and not _is_zombie(watchdog):
        subprocess.run(["sleep", "0.05"], check=True)
    assert not Path(f"/proc/{child}").exists() or _is_zombie(child)


def test_a_process_that_has_ended_by_itself_needs_no_guard() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert guard([ended.pid]) is None
    release(None)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
