"""What a sandbox costs before it judges anything: the time to its first verdict, and the memory it keeps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from verifiers.sandbox.protocol import Job, Limits, Sandbox

_OURS = (b"verifiers.sandbox.inside", b"bwrap")  # in the command line of a process that is kept
_JOB = Job(program="def f(x):\n    return x * x\n", tests="assert f(2) == 4\n")
_LIMITS = Limits(cpu_s=10, wall_s=60)
_N_STARTS = 5


def footprint(make: Callable[[], Sandbox]) -> dict[str, float]:
    """Return the median time to the first verdict of a new sandbox (ms), and what one idle lane keeps (MB).

    Memory is the sum of the shares (PSS) of its processes; readable for root only.
    """
    times, shares = [], []
    for _ in range(_N_STARTS):
        before = _kept()
        sandbox = make()
        began = time.monotonic()
        sandbox.run(_JOB, _LIMITS)
        times.append(1000 * (time.monotonic() - began))
        shares.append(sum(_share_bytes(pid) for pid in _kept() - before))
        sandbox.close()
    return {
        "first_verdict_ms": round(statistics.median(times)),
        "memory_mb": round(statistics.median(shares) / 1e6, 1),
    }


def _kept() -> set[int]:
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if any(word in file.read_bytes() for word in _OURS):
                found.add(int(file.parent.name))
        except OSError:
            continue
    return found


def _share_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
