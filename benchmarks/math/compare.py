"""Compare the math verifier with Math-Verify on the same cases in the same run, and measure its other claims.

python -m venv build/peer && build/peer/bin/pip install math-verify==0.9.0 "latex2sympy2_extended[antlr4_13_2]"
BENCHMARK_DATA=folder python -m benchmarks.math.compare --peer build/peer/bin/python
python -m benchmarks.math.page
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.math.data import Pair, equality_pairs, math_answers
from benchmarks.math.hostile import hostile
from benchmarks.math.satisfies import satisfies
from benchmarks.math.steps import steps
from benchmarks.method.results import save
from verifiers.claims import EqualityClaim
from verifiers.math.verifier import MathVerifier

TIMEOUT_S = 30.0
PEER = Path(__file__).with_name("peer.py")
Judged = tuple[bool | None, float]
"""Same, different or cannot tell; and seconds."""


def main() -> None:
    """Measure everything; the numbers go to ``build/math``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    default = os.environ.get("BENCHMARK_DATA")
    parser.add_argument(
        "--data", type=Path, default=default, required=default is None, help="folder of the data"
    )
    parser.add_argument(
        "--peer", type=Path, help="a Python that has math-verify; left out, ours is measured alone"
    )
    parser.add_argument("--out", type=Path, default=Path("build/math"), help="where the numbers go")
    options = parser.parse_args()
    verifier = MathVerifier(n_children=1)  # the peer computes in one process too
    try:
        verifier.verify(EqualityClaim(gold=r"\sqrt8", answer="1"), timeout_s=60)  # a child is up
        save(options.out, "equality", equality(verifier, options.data, options.peer))
        save(options.out, "satisfies", satisfies(verifier))
        save(options.out, "steps", steps(verifier, options.data))
        save(options.out, "hostile", hostile(verifier))
    finally:
        verifier.close()


def equality(verifier: MathVerifier, folder: Path, peer: Path | None) -> dict[str, Any]:
    """Return what each judge made of Math-Verify's own cases, both ways round, and of MATH's answers themselves."""
    pairs = equality_pairs(folder)
    turned = [Pair(pair.pred, pair.gold, pair.same) for pair in pairs]
    answers = math_answers(folder)
    selves = [Pair(f"${answer}$", rf"So it is $\boxed{{{answer}}}$.", same=True) for answer in answers]
    judges: dict[str, Callable[[Sequence[Pair]], list[Judged]]] = {
        "ours": lambda given: _ours(verifier, given)
    }
    if peer is not None:
        judges["Math-Verify"] = lambda given: _peer(peer, given)
    return {
        "judges": [
            {
                "judge": name,
                "cases": _counts(pairs, judge(pairs)),
                "turned": _counts(turned, judge(turned)),
                "selves": _counts(selves, judge(selves)),
            }
            for name, judge in judges.items()
        ],
        "load": os.getloadavg()[0],
    }


def _ours(verifier: MathVerifier, pairs: Sequence[Pair]) -> list[Judged]:
    judged: list[Judged] = []
    for pair in pairs:
        verdict = verifier.verify(EqualityClaim(gold=pair.gold, answer=pair.pred), timeout_s=TIMEOUT_S)
        same = {"confirmed": True, "refuted": False, "abstained": None}[verdict.outcome.value]
        judged.append((same, verdict.elapsed_s))
    return judged


def _peer(python: Path, pairs: Sequence[Pair]) -> list[Judged]:
    lines = "".join(json.dumps({"gold": pair.gold, "pred": pair.pred}) + "\n" for pair in pairs)
    run = subprocess.run(
        [str(python), str(PEER)], input=lines, capture_output=True, text=True, check=True, timeout=1_800
    )
    return [(reply["same"], reply["s"]) for reply in map(json.loads, run.stdout.splitlines())]


def _counts(pairs: Sequence[Pair], judged: Sequence[Judged]) -> dict[str, Any]:
    said = [(pair.same, same) for pair, (same, _) in zip(pairs, judged, strict=True)]
    seconds = [s for _, s in judged]
    return {
        "n": len(pairs),
        "right": sum((same is True) == expected for expected, same in said),
        "false_accepts": sum(same is True and not expected for expected, same in said),
        "false_rejects": sum(same is not True and expected for expected, same in said),
        "abstained": sum(same is None for _, same in said),
        "claims_per_s": round(len(seconds) / sum(seconds), 1),
        "median_ms": round(1000 * statistics.median(seconds), 2),
        "max_ms": round(1000 * max(seconds)),
    }


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s")
