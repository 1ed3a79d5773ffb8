"""Chains saved and accuracy lost by each way of stopping early, next to ESC and Adaptive-Consistency.

    python -m benchmarks.method.early_exit --data FOLDER

Streams are simulated: each observation of DDXPlus has an exact posterior, and a chain is a draw from it,
sharpened to a sampling temperature of 0.7. Streams recorded from a language model will replace them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import betainc

from benchmarks.method.data import arguments, diagnoses
from benchmarks.method.ddxplus import sharpened
from benchmarks.method.figures import lines_figure
from benchmarks.method.results import save
from reasoner.chains import Chain
from reasoner.decisions import Rules, Thresholds
from reasoner.early_exit import Policy, should_stop
from reasoner.merge import forward_merge

OBSERVATIONS = 1000
EVIDENCES = (8, 16, 32, 64)
TEMPERATURE = 0.7
WINDOWS = {8: 4, 16: 4, 40: 5}
"""k to ESC's window; 5 of 40 as in its paper."""

Stop = Callable[[Sequence[Chain]], bool]


def ours(policy: Policy, k: int) -> Stop:
    """Return one of our policies, asked after every chain."""
    return lambda seen: should_stop(policy, seen, thresholds=Thresholds(), rules=Rules(k=k))


def esc(window: int) -> Stop:
    """Return Early-Stopping Self-Consistency (Li et al. 2024): stop when one whole window is unanimous."""

    def stop(seen: Sequence[Chain]) -> bool:
        last = {chain.answer for chain in seen[-window:]}
        return len(seen) % window == 0 and len(last) == 1

    return stop


def adaptive_consistency(threshold: float = 0.95) -> Stop:
    """Return Adaptive-Consistency (Aggarwal et al. 2023) with its Beta criterion, by the Beta integral itself."""

    def stop(seen: Sequence[Chain]) -> bool:
        (_, first), second = (*Counter(chain.answer for chain in seen).most_common(2), ("", 0))[:2]
        return float(1 - betainc(first + 1, second[1] + 1, 0.5)) >= threshold

    return stop


def run(stop: Stop, streams: Sequence[Sequence[Chain]], truths: Sequence[str]) -> dict[str, float]:
    """Return what the way of stopping costs and saves over whole streams."""
    used = right = same = as_abstained = 0
    for stream, truth in zip(streams, truths, strict=True):
        n = next((n for n in range(1, len(stream)) if stop(stream[:n])), len(stream))
        decision, full = forward_merge(stream[:n]), forward_merge(stream)
        used += n
        right += decision.answer == truth
        same += decision.answer == full.answer
        as_abstained += decision.abstain == full.abstain
    total = sum(len(stream) for stream in streams)
    return {
        "saved": 1 - used / total,
        "accuracy": right / len(streams),
        "same answer": same / len(streams),
        "same abstention": as_abstained / len(streams),
    }


def main() -> None:
    """Measure, save the numbers and draw the figure."""
    given = arguments(__doc__).parse_args()
    rng = np.random.default_rng(0)
    posterior, truth = diagnoses(given.data).observe(rng, n=OBSERVATIONS, evidences=EVIDENCES)
    source = sharpened(posterior, TEMPERATURE)
    truths = [str(i) for i in np.argmax(truth, axis=1)]
    rows: list[dict[str, Any]] = []
    for k, window in WINDOWS.items():
        draws = [rng.choice(source.shape[1], size=k, p=row) for row in source]
        streams = [[Chain(index=i, answer=str(x)) for i, x in enumerate(row)] for row in draws]
        ways: dict[str, Stop] = {
            **{f"{policy.value}": ours(policy, k) for policy in Policy},
            f"ESC, window {window}": esc(window),
            "Adaptive-Consistency": adaptive_consistency(),
        }
        for name, stop in ways.items():
            rows.append({"k": k, "way": name, **run(stop, streams, truths)})
            print(rows[-1], flush=True)
    of_40 = [row for row in rows if row["k"] == max(WINDOWS)]
    lines_figure(
        {row["way"]: [(row["saved"], row["accuracy"])] for row in of_40},
        given.figures / "early_exit.svg",
        x=f"share of {max(WINDOWS)} chains saved",
        y="accuracy",
        level=next(row["accuracy"] for row in of_40 if row["way"] == "none"),
    )
    save(
        given.out,
        "early_exit",
        {"observations": OBSERVATIONS, "temperature": TEMPERATURE, "rows": rows},
    )


if __name__ == "__main__":
    main()
