"""Verdicts per second of every sandbox, `docker run` per claim and an unprotected subprocess, in one run.

    python -m benchmarks.sandbox.measure [--seconds 5] [--problems FILE ...] [--group FOLDER ...] [--json FILE]

Engines: DOCKER_HOST, with the image of `python -m verifiers.sandbox.docker_image`. ``--problems`` are JSONL files of
HumanEval's form (prompt, canonical_solution, test, entry_point) or MBPP's (code, test_list): their reference solutions
are judged too, and then mutants of each. ``--group`` are control groups whose CPU time counts for a claim: those of
the engine and of its containers.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.sandbox.footprint import footprint
from benchmarks.sandbox.problems import claims, judge
from benchmarks.sandbox.processor import cpu_s
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.docker_image import build, is_ready
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.engine import IMAGE, Engine
from verifiers.sandbox.protocol import Isolation, Job, Limits, Sandbox

PROGRAM, TESTS = "def f(x):\n    return x * x\n", "assert f(2) == 4\n"
JOB = Job(program=PROGRAM, tests=TESTS)
LIMITS = Limits(cpu_s=10, wall_s=60)
CONCURRENCY = (1, 2, 4, 8)
_FAST = ("docker, process", "bubblewrap, long-lived")
Way = Callable[[], bool]


def judged_by(sandbox: Sandbox) -> Way:
    """Return a way to judge the trivial claim in a sandbox."""

    def judge() -> bool:
        report = sandbox.run(JOB, LIMITS).report
        return report is not None and report["outcome"] == "confirmed"

    return judge


def unprotected() -> bool:
    """Judge the trivial claim as the usual harness does: a fresh interpreter, its exit code believed."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM + TESTS], capture_output=True, check=False)
    return ended.returncode == 0


def docker_run() -> bool:
    """Judge the trivial claim in a container of its own, started by the command line."""
    options = (
        "--rm",
        "--network",
        "none",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--pids-limit",
        "64",
        "-m",
        "512m",
    )
    command = ["docker", "run", *options, IMAGE, "-c", PROGRAM + TESTS]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def measure(way: Way, n_at_once: int, seconds: float, groups: Sequence[Path]) -> dict[str, float]:
    """Return claims per second, the latency's quantiles and the CPU time of a claim, once all lanes have started."""
    with ThreadPoolExecutor(n_at_once) as pool:
        assert all(pool.map(lambda _: way(), range(2 * n_at_once)))
    end = time.monotonic() + seconds

    def all_of_one() -> list[float]:
        found = []
        while (at := time.monotonic()) < end:
            assert way()
            found.append(1000 * (time.monotonic() - at))
        return found

    began, cpu_before_s = time.monotonic(), cpu_s(groups)
    with ThreadPoolExecutor(n_at_once) as pool:
        times = sorted(ms for part in pool.map(lambda _: all_of_one(), range(n_at_once)) for ms in part)
    took_s = time.monotonic() - began
    p99 = times[min(int(0.99 * len(times)), len(times) - 1)]
    return {
        "per_s": len(times) / took_s,
        "p50_ms": statistics.median(times),
        "p99_ms": p99,
        "cpu_ms": 1000 * (cpu_s(groups) - cpu_before_s) / len(times),
        "n": len(times),
    }


def sandboxes() -> Iterator[tuple[str, Callable[[], Sandbox]]]:
    """Yield how to make every sandbox that works here."""
    engine = None
    try:
        engine = Engine()
        if not is_ready(engine):
            build(engine)
    except SandboxUnavailableError as error:
        print(f"no Docker: {error}")
    if engine is not None:
        yield "docker, process", functools.partial(DockerSandbox, engine)
        once = Isolation.CONTAINER
        yield "docker, container", functools.partial(DockerSandbox, engine, isolation=once)
    binary = bubblewrap_binaries()[0]
    yield "bubblewrap, long-lived", functools.partial(BubblewrapSandbox, binary)
    yield "bubblewrap, two per claim", functools.partial(BubblewrapSandbox, binary, warm=False)


def burst(sandbox: Sandbox, n: int) -> dict[str, float]:
    """Return how long ``n`` claims take that arrive at once."""
    way = judged_by(sandbox)
    began = time.monotonic()
    with ThreadPoolExecutor(n) as pool:
        n_right = sum(pool.map(lambda _: way(), range(n)))
    return {"n": n, "right": n_right, "s": round(time.monotonic() - began, 2)}


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--problems", type=Path, nargs="*", default=[])
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--group", type=Path, nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts: dict[str, Any] = {"load_before": os.getloadavg(), "processors": os.cpu_count()}
    names = count()

    def table(name: str, way: Way) -> None:
        rows = facts.setdefault("trivial", {})[name] = {
            n: measure(way, n, options.seconds, options.group) for n in CONCURRENCY
        }
        if not next(names):
            heads = [f"{n} at once: /s (p50, p99 ms)" for n in CONCURRENCY]
            print(
                f"| way | {' | '.join(heads)} | CPU ms a claim, {CONCURRENCY[0]} to {CONCURRENCY[-1]} at once |"
            )
            print("|---|" + "---|" * (len(heads) + 1))
        cells = [f"{row['per_s']:.1f} ({row['p50_ms']:.0f}, {row['p99_ms']:.0f})" for row in rows.values()]
        cells.append(", ".join(f"{row['cpu_ms']:.1f}" for row in rows.values()))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    for name, make in sandboxes():
        sandbox = make()
        table(name, judged_by(sandbox))
        if options.burst and name in _FAST:
            facts.setdefault("burst", {})[name] = burst(sandbox, options.burst)
        sandbox.close()
    table("unprotected subprocess", unprotected)
    if "docker, process" in facts["trivial"]:
        table("docker run", docker_run)
    facts["load_after_the_table"] = os.getloadavg()
    for name, make in sandboxes():
        facts.setdefault("footprint", {})[name] = footprint(make)
        if name not in _FAST:
            continue
        sandbox = make()
        for file in options.problems:
            judged = judge(claims(file), sandbox, 2)
            facts.setdefault("problems", {}).setdefault(file.name, {})[name] = judged
        sandbox.close()
    facts["load_after"] = os.getloadavg()
    print(json.dumps({key: value for key, value in facts.items() if key != "trivial"}, indent=1))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
