"""Ends an engine's own processes when the worker that started them is killed.

vLLM's core outlives a worker that dies of SIGKILL and keeps the GPU's memory, so that the next worker finds none.
A small process of ours waits on a pipe that closes with the worker, however that ends, and then kills what is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PATIENCE_S = 15.0  # for a clean end after SIGTERM


def guard(pids: Iterable[int]) -> subprocess.Popen[bytes] | None:
    """Start the process that outlives us and ends ``pids``; ``None`` where there is nothing to guard.

    Keep the returned object: what it holds open is the sign that we are alive.
    """
    known = [f"{pid}:{started}" for pid in pids if (started := _start_of(pid)) is not None]
    if not known:
        return None
    command = [sys.executable, "-I", __file__, *known]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def release(process: subprocess.Popen[bytes] | None) -> None:
    """Let the guard look after the rest and go."""
    if process is not None and process.stdin is not None:
        process.stdin.close()
        process.wait()


def _start_of(pid: int) -> str | None:
    """Return when the process was started, so that another one with the same number is left alone."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _main(known: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # returns when the worker is gone
    wanted = {int(pid): started for pid, _, started in (one.partition(":") for one in known)}
    _kill(wanted, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and any(_start_of(pid) == started for pid, started in wanted.items()):
        time.sleep(0.1)
    _kill(wanted, signal.SIGKILL)


def _kill(wanted: dict[int, str], number: signal.Signals) -> None:
    for pid, started in wanted.items():
        if _start_of(pid) == started:
            os.kill(pid, number)


if __name__ == "__main__":
    _main(sys.argv[1:])
