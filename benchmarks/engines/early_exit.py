"""Tokens that early exit saves on recorded chains, those of the aborted chains counted as spent.

    python -m benchmarks.engines.early_exit

The queue's own waves and rules, on an engine that plays the recording of benchmarks/accuracy: chains asked for together
are written side by side at one pace, so that when the rule fires each of those under way has cost as many tokens as
had come by then. Decisions are compared with those of all chains, without verifiers.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.recording import RECORDING, Recorded, read, rows_of
from benchmarks.method.results import save
from reasoner.decisions import Thresholds
from reasoner.early_exit import Policy
from worker.deciding import decide_task
from worker.engines.protocol import Capabilities, ChainRequest, FinishReason, SampledChain
from worker.engines.replay import ReplayEngine
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.sampling import sample_task
from worker.settings import Settings


class SideBySide(ReplayEngine):
    """Plays one task's chains, the shorter ones first, and counts the tokens that they cost up to an abort."""

    def __init__(self, chains: Sequence[dict[str, Any]]) -> None:
        super().__init__({})
        self._chains = {chain["index"]: chain for chain in chains}
        self.n_tokens = 0

    @property
    def capabilities(self) -> Capabilities:
        """Promise what the recording has."""
        return Capabilities(logprobs=True, seeds=True, max_context_tokens=2**31, concurrency=64)

    def sample(
        self,
        task_id: str,  # noqa: ARG002 - the protocol's
        requests: list[ChainRequest],
    ) -> Generator[SampledChain, None, None]:
        """Yield the chains as they end."""
        waiting = sorted((self._length(one.index), one.index) for one in requests)
        now = 0
        try:
            while waiting:
                now, index = waiting.pop(0)
                self.n_tokens += now
                yield self._sampled(index)
        finally:
            self.n_tokens += now * len(waiting)

    def _length(self, index: int) -> int:
        return int(self._chains[index]["n_tokens"])

    def _sampled(self, index: int) -> SampledChain:
        chain = self._chains[index]
        return SampledChain(
            index=index,
            text=chain["text"],
            logprob=chain["logprob"],
            n_tokens=chain["n_tokens"],
            finish_reason=FinishReason.STOP,
            model=chain["model"],
            revision="recorded",
            latency_s=0.0,
        )


def measure(tasks: Sequence[tuple[Recorded, Sequence[dict[str, Any]]]], policy: Policy) -> dict[str, Any]:
    """Return what a policy saves, what it says that it saves, and how many decisions it leaves as they are."""
    total = spent = told = same_answer = same_abstention = 0
    for recorded, chains in tasks:
        options = recorded.plain.options.model_copy(update={"early_exit": policy.value})
        line = recorded.plain.model_copy(update={"options": options})
        engine = SideBySide(chains)
        found = sample_task(engine, line.custom_id, line, thresholds=Thresholds())
        early, full = (
            decide_task(line, these, recorded.relating, calibrated=Thresholds())
            for these in ([chain.as_chain() for chain in found.chains], recorded.chains)
        )
        total += sum(chain["n_tokens"] for chain in chains)
        spent += engine.n_tokens
        told += found.tokens_saved
        same_answer += early.answer == full.answer
        same_abstention += early.abstain == full.abstain
    n = len(tasks)
    return {
        "policy": policy.value,
        "tokens": total,
        "saved": round(1 - spent / total, 3),
        "told": round(told / total, 3),
        "same_answer": round(same_answer / n, 3),
        "same_abstention": round(same_abstention / n, 3),
    }


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    parser.add_argument("--out", type=Path, default=Path("build/engines"))
    given = parser.parse_args()
    with Judges(Surroundings(settings=Settings.from_env(os.environ))) as judges:
        recorded = read(given.recording, judges)
    tasks = list(zip(recorded, rows_of(given.recording), strict=True))
    for kind in ("math", "code"):
        some = [(one, row["chains"]) for one, row in tasks if one.line.kind == kind]
        if some:
            rows = [measure(some, policy) for policy in (Policy.LOSSLESS, Policy.PAPER, Policy.ADAPTIVE)]
            numbers = {"tasks": len(some), "rows": rows}
            print(json.dumps(numbers, indent=1))
            save(given.out, f"early_exit_{kind}", numbers)


if __name__ == "__main__":
    main()
